// float_bits: y[i][c] = sum_j x(i, j) * s(j, c), floats by signs, where the bits are packed along the *output* axis c.
// Used for the forward pass of a float input by transposed weights, and for dX = dY * W.
// import: tile, index, bits
// epilogues: store, mask+store
// length tile_rows = rows
// length tile_columns = columns

struct Params {
    rows: u32,    // of y
    columns: u32, // of y: signs in a row of `bits`
    depth: u32,   // number of terms per sum: rows of `bits`
    words: u32,   // per row of `bits`: ceil(columns / 32)
}

var<storage, read> x: array<vec4<f32>>; // panels [depth/32][rows][32]
var<storage, read> bits: array<u32>;    // panels [depth/32][words][32]

// limit: words <= columns/32
var<uniform> params: Params;

alias Lane = vec4<f32>;
alias Tile = array<vec4<f32>, 16>;

const COVER: vec3<u32> = vec3<u32>(64u, 32u, 1u);

// Lanes of x beyond depth are 0, so the loop may run over whole groups of four j.
fn product(row: u32, column: u32, sums: ptr<function, Tile>) {
    let rows = params.rows;
    let last = rows - 1u;
    let depth = loop_bound(params.depth, arrayLength(&bits));
    let shift = column & 31u;
    for (var j = 0u; j < depth; j += 4u) {
        let at_x = (j >> 5u) * rows * 8u + ((j & 31u) >> 2u);
        let at_bits = ((j >> 5u) * params.words + (column >> 5u)) * 32u + (j & 31u);
        var l: array<vec4<f32>, 4>;
        var r: array<vec4<f32>, 4>;
        for (var t = 0u; t < 4u; t++) { // unroll
            let word = bits[at_bits + t];
            l[t] = signs_of(word, shift);
            r[t] = signs_of(word, shift + 4u);
        }
        for (var i = 0u; i < 8u; i++) { // unroll
            // Rows beyond the batch repeat the last one and are not stored.
            let v = x[at_x + min(row + i, last) * 8u];
            (*sums)[2u * i] += v.x * l[0] + v.y * l[1] + v.z * l[2] + v.w * l[3];
            (*sums)[2u * i + 1u] += v.x * r[0] + v.y * r[1] + v.z * r[2] + v.w * r[3];
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        (*sums)[2u * i] = inside((*sums)[2u * i], column, params.columns);
        (*sums)[2u * i + 1u] = inside((*sums)[2u * i + 1u], column + 4u, params.columns);
    }
}

// 8 rows by 8 columns per invocation.
@compute @workgroup_size(8, 4)
fn float_bits(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let m = Matrix(params.rows, params.words * 32u, params.rows);
    var tile: Tile;
    if (id.y * 8u < m.rows && id.x * 8u < m.columns) {
        product(id.y * 8u, id.x * 8u, &tile);
    }
    consume(&tile, m, At(id.xy * 8u, local.xy, 8u));
}
