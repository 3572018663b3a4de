// clip_mask: after `threshold`, the mask of the clip surrogate of its sign: bits where |z| <= 1.
// import: tile, words, index

var<storage, read_write> new_mask: array<u32>; // as new_signs

fn clip_mask(tile: ptr<function, Tile>, m: Matrix, at: At) {
    var bits = clip_bits;
    join_words(&bits, at);
    for (var r = 0u; r < 8u; r++) { // unroll
        if (has_word(m, at, r)) {
            new_mask[word_index(m.columns / 32u, at.first.y + r, at.first.x >> 5u)] = bits[r];
        }
    }
}
