// float_bits_transposed: y[i][c] = sum_j x(j, i) * s(j, c), floats by signs, where the bits are packed along the *output* axis c, and x is read
// transposed: dW = dY^T * A, where the depth is the batch.
// import: tile, index, bits
// epilogues: store_rows, update+update_tile
// length tile_rows = rows
// length tile_columns = words * 32

struct Params {
    rows: u32,    // of y
    columns: u32, // of y: signs in a row of `bits`
    depth: u32,   // number of terms per sum: rows of `bits`
    words: u32,   // per row of `bits`: ceil(columns / 32)
}

var<storage, read> x: array<vec4<f32>>;       // panels [rows/32][depth][32]
var<storage, read> bits: array<u32>;          // panels [depth/32][words][32]

var<uniform> params: Params;

alias Lane = vec4<f32>;
alias Tile = array<vec4<f32>, 16>;

const COVER: vec3<u32> = vec3<u32>(64u, 32u, 1u);
const INVOCATIONS: u32 = 32u;

// Eight rows of y are contiguous in x.
fn product(row: u32, column: u32, sums: ptr<function, Tile>) {
    let depth = loop_bound(params.depth, arrayLength(&bits));
    let shift = column & 31u;
    let first = (row >> 5u) * depth * 8u + ((row & 31u) >> 2u);
    for (var j = 0u; j < depth; j++) {
        let word = bits[((j >> 5u) * params.words + (column >> 5u)) * 32u + (j & 31u)];
        let l = signs_of(word, shift);
        let r = signs_of(word, shift + 4u);
        let v0 = x[first + j * 8u];
        let v1 = x[first + j * 8u + 1u];
        for (var i = 0u; i < 4u; i++) { // unroll
            (*sums)[2u * i] += v0[i] * l;
            (*sums)[2u * i + 1u] += v0[i] * r;
            (*sums)[2u * i + 8u] += v1[i] * l;
            (*sums)[2u * i + 9u] += v1[i] * r;
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        (*sums)[2u * i] = inside((*sums)[2u * i], column, params.columns);
        (*sums)[2u * i + 1u] = inside((*sums)[2u * i + 1u], column + 4u, params.columns);
    }
}

// 8 rows by 8 columns per invocation.
@compute @workgroup_size(8, 4)
fn float_bits_transposed(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let m = Matrix(params.rows, params.words * 32u, params.rows);
    var tile: Tile;
    if (id.y * 8u < m.rows && id.x * 8u < m.columns) {
        product(id.y * 8u, id.x * 8u, &tile);
    }
    consume(&tile, m, At(id.xy * 8u, local.xy, 8u));
}
