// float_bits_transposed: y[i][c] = sum_j x(j, i) * s(j, c), floats by signs, where the bits are packed along the *output* axis c, and x is read as its
// transpose: dW = dY^T * A, where the depth is the batch.
// import: index, bits
// per panel: y

struct Params {
    rows: u32,    // of y
    columns: u32, // of y: signs in a row of `bits`
    depth: u32,   // terms of a sum: rows of `bits`
    words: u32,   // of a row of `bits`: ceil(columns / 32)
}

var<storage, read> x: array<vec4<f32>>;       // panels [rows/32][depth][32]
var<storage, read> bits: array<u32>;          // panels [depth/32][words][32]
var<storage, read_write> y: array<vec4<f32>>; // rows [rows][words * 32]

var<uniform> params: Params;

const COVER: vec3<u32> = vec3<u32>(64u, 32u, 1u);

// An invocation has 8 rows by 8 columns; eight rows of y lie side by side in x.
@compute @workgroup_size(8, 4)
fn float_bits_transposed(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    let column = id.x * 8u;
    if (row >= params.rows || column >= params.words * 32u) {
        return;
    }
    let depth = loop_bound(params.depth, arrayLength(&bits));
    let shift = column & 31u;
    let first = (row >> 5u) * depth * 8u + ((row & 31u) >> 2u);
    var left: array<vec4<f32>, 8>;
    var right: array<vec4<f32>, 8>;
    for (var j = 0u; j < depth; j++) {
        let word = bits[((j >> 5u) * params.words + (column >> 5u)) * 32u + (j & 31u)];
        let l = signs_of(word, shift);
        let r = signs_of(word, shift + 4u);
        let v0 = x[first + j * 8u];
        let v1 = x[first + j * 8u + 1u];
        for (var i = 0u; i < 4u; i++) { // unroll
            left[i] += v0[i] * l;
            right[i] += v0[i] * r;
            left[i + 4u] += v1[i] * l;
            right[i + 4u] += v1[i] * r;
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        if (row + i < params.rows) {
            let at = ((row + i) * params.words * 32u + column) / 4u;
            y[at] = inside(left[i], column, params.columns);
            y[at + 1u] = inside(right[i], column + 4u, params.columns);
        }
    }
}
