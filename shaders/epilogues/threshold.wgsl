// threshold: sign of the batch norm of the tile, as bits: +1 where z >= 0, z = (tile - mean) / sqrt(variance + epsilon) * scale + bias by column.
// z is never stored. Rows and columns beyond the matrix become 0.
// import: tile, words, index, bits
// limit: 0 < tile_columns

struct ThresholdParams {
    epsilon: f32,
}

var<uniform> epilogue: ThresholdParams;

var<storage, read> mean: array<f32>;             // [tile_columns]
var<storage, read> variance: array<f32>;         // [tile_columns]
var<storage, read> scale: array<f32>;            // [tile_columns]
var<storage, read> bias: array<f32>;             // [tile_columns]
var<storage, read_write> new_signs: array<u32>;  // bits, panels [tile_rows/32][tile_columns/32][32]

// Bits of 8 columns where |z| <= 1, for each row of the tile: for the epilogue clip_mask.
var<private> clip_bits: array<u32, 8>;

fn threshold(tile: ptr<function, Tile>, m: Matrix, at: At) {
    let columns = arrayLength(&mean);
    var bits: array<u32, 8>;
    for (var r = 0u; r < 8u; r++) { // unroll
        clip_bits[r] = 0u;
    }
    for (var lane = 0u; lane < 8u; lane++) { // unroll
        let c = min(at.first.x + lane, columns - 1u);
        let center = mean[c];
        let rstd = 1.0 / sqrt(variance[c] + epilogue.epsilon);
        let gain = scale[c];
        let offset = bias[c];
        for (var r = 0u; r < 8u; r++) { // unroll
            let z = (f32((*tile)[2u * r + lane / 4u][lane % 4u]) - center) * rstd * gain + offset;
            bits[r] |= select(0u, 1u << lane, z >= 0.0);
            clip_bits[r] |= select(0u, 1u << lane, abs(z) <= 1.0);
        }
    }
    let tail = tail_mask(columns, at.first.x);
    for (var r = 0u; r < 8u; r++) { // unroll
        let keep = select(0u, tail, at.first.y + r < m.rows);
        bits[r] &= keep;
        clip_bits[r] &= keep;
    }
    join_words(&bits, at);
    for (var r = 0u; r < 8u; r++) { // unroll
        if (has_word(m, at, r)) {
            new_signs[word_index(m.columns / 32u, at.first.y + r, at.first.x >> 5u)] = bits[r];
        }
    }
}
