// mask: 0 where the mask of the sign that made the output's columns is not set: the input gradient behind the clip surrogate.
// import: tile, index, bits

var<storage, read> mask_bits: array<u32>; // bits, panels [tile_rows/32][tile_columns/32][32]

fn mask(tile: ptr<function, Tile>, m: Matrix, at: At) {
    let column = at.first.x;
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let word = mask_bits[word_index(m.columns / 32u, at.first.y + r, column >> 5u)];
            (*tile)[2u * r] = where_set((*tile)[2u * r], word, column & 31u);
            (*tile)[2u * r + 1u] = where_set((*tile)[2u * r + 1u], word, (column & 31u) + 4u);
        }
    }
}
