// threshold: sign of the batch norm of the tile, as bits: +1 where z >= 0, z = (tile - mean) / sqrt(variance + epsilon) * scale + bias by column.
// z is never stored. Rows beyond the matrix and columns beyond `epilogue.columns` become 0.
// import: tile, words, index, bits
// limit: tile_columns/32 <= epilogue.columns/32
// limit: epilogue.columns/32 <= tile_columns/32
// limit: 0 < epilogue.columns

struct ThresholdParams {
    columns: u32, // of the matrix, without padding
    epsilon: f32,
}

var<uniform> epilogue: ThresholdParams;

var<storage, read> mean: array<f32>;             // [epilogue.columns]
var<storage, read> variance: array<f32>;         // [epilogue.columns]
var<storage, read> scale: array<f32>;            // [epilogue.columns]
var<storage, read> bias: array<f32>;             // [epilogue.columns]
var<storage, read_write> new_signs: array<u32>;  // bits, panels [tile_rows/32][tile_columns/32][32]

// Calculates, for each row of the tile, the bits of 8 columns where z >= 0 (x) and where |z| <= 1 (y).
fn threshold_bits(tile: ptr<function, Tile>, m: Matrix, at: At) -> array<vec2<u32>, 8> {
    var bits: array<vec2<u32>, 8>;
    for (var lane = 0u; lane < 8u; lane++) { // unroll
        let c = min(at.first.x + lane, epilogue.columns - 1u);
        let center = mean[c];
        let rstd = 1.0 / sqrt(variance[c] + epilogue.epsilon);
        let gain = scale[c];
        let offset = bias[c];
        for (var r = 0u; r < 8u; r++) { // unroll
            let z = (f32((*tile)[2u * r + lane / 4u][lane % 4u]) - center) * rstd * gain + offset;
            let is_inside = at.first.x + lane < epilogue.columns && at.first.y + r < m.rows;
            bits[r] |= select(vec2<u32>(0u), vec2<u32>(1u << lane), vec2<bool>(z >= 0.0 && is_inside, abs(z) <= 1.0 && is_inside));
        }
    }
    return bits;
}

fn threshold(tile: ptr<function, Tile>, m: Matrix, at: At) {
    let both = threshold_bits(tile, m, at);
    var bits: array<u32, 8>;
    for (var r = 0u; r < 8u; r++) { // unroll
        bits[r] = both[r].x;
    }
    join_words(&bits, at);
    for (var r = 0u; r < 8u; r++) { // unroll
        if (has_word(m, at, r)) {
            new_signs[word_index(m.columns / 32u, at.first.y + r, at.first.x >> 5u)] = bits[r];
        }
    }
}
