// matmul: floats by floats, the three products of a dense layer with float weights. Activations are stored in panels, weights in rows:
// matmul:            y[r][c] = sum_k x[r][k] * w[c][k]   forward: x [depth/32][rows][32], w [columns][pitch], y [columns/32][rows][32]
// matmul_input:      y[r][c] = sum_k x[r][k] * w[k][c]   dX:      x [depth/32][rows][32], w [depth][pitch],   y [columns/32][rows][32]
// matmul_transposed: y[r][c] = sum_k x[k][r] * w[k][c]   dW:      x [rows/32][depth][32], w [columns/32][depth][32], y [rows][pitch]
// import: index

struct Params {
    rows: u32,    // of y
    columns: u32, // of y
    depth: u32,   // number of terms per sum
    pitch: u32,   // floats from one row of the weights (or of dW) to the next, a multiple of 32
}

var<storage, read> x: array<vec4<f32>>; // [depth/32][rows][32]; matmul_transposed: [rows/32][depth][32]
var<storage, read> w: array<vec4<f32>>; // matmul: [columns][pitch]; matmul_input: [depth][pitch]; matmul_transposed: [columns/32][depth][32]
var<storage, read_write> y: array<vec4<f32>>; // [columns/32][rows][32]; matmul_transposed: [rows][pitch]

// limit: 0 < rows
// limit: 0 < columns
// limit: 0 < depth
// limit: pitch/32 * 32 <= pitch
// limit: matmul: depth <= pitch
// limit: matmul_input, matmul_transposed: pitch <= columns/32 * 32
var<uniform> params: Params;

const COVER_matmul: vec3<u32> = vec3<u32>(32u, 32u, 1u);
const COVER_matmul_input: vec3<u32> = vec3<u32>(32u, 32u, 1u);
const COVER_matmul_transposed: vec3<u32> = vec3<u32>(32u, 64u, 1u);

// 8 rows by 4 columns per invocation. Lanes of x beyond depth are 0.
@compute @workgroup_size(8, 4)
fn matmul(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    let column = id.x * 4u;
    if (row >= params.rows || column >= padded(params.columns)) {
        return;
    }
    let rows = params.rows;
    let last = rows - 1u;
    let last_column = params.columns - 1u;
    var sums: array<vec4<f32>, 8>;
    let depth = loop_bound(params.depth, 4u * arrayLength(&x));
    for (var k = 0u; k < depth; k += 4u) {
        let w0 = w[(min(column, last_column) * params.pitch + k) / 4u];
        let w1 = w[(min(column + 1u, last_column) * params.pitch + k) / 4u];
        let w2 = w[(min(column + 2u, last_column) * params.pitch + k) / 4u];
        let w3 = w[(min(column + 3u, last_column) * params.pitch + k) / 4u];
        let first = (k >> 5u) * rows * 8u + ((k & 31u) >> 2u);
        for (var i = 0u; i < 8u; i++) { // unroll
            let v = x[first + min(row + i, last) * 8u];
            sums[i] += vec4<f32>(dot(v, w0), dot(v, w1), dot(v, w2), dot(v, w3));
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        if (row + i < rows) {
            y[panel_index(rows, row + i, column) / 4u] = inside(sums[i], column, params.columns);
        }
    }
}

// 8 rows by 4 columns per invocation. Rows of w beyond depth are not read.
@compute @workgroup_size(8, 4)
fn matmul_input(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    let column = id.x * 4u;
    if (row >= params.rows || column >= params.pitch) {
        return;
    }
    let rows = params.rows;
    let last = rows - 1u;
    let depth = loop_bound(params.depth, arrayLength(&w));
    let last_k = depth - 1u;
    var sums: array<vec4<f32>, 8>;
    for (var k = 0u; k < depth; k += 4u) {
        let w0 = w[(k * params.pitch + column) / 4u];
        let w1 = w[(min(k + 1u, last_k) * params.pitch + column) / 4u];
        let w2 = w[(min(k + 2u, last_k) * params.pitch + column) / 4u];
        let w3 = w[(min(k + 3u, last_k) * params.pitch + column) / 4u];
        let first = (k >> 5u) * rows * 8u + ((k & 31u) >> 2u);
        for (var i = 0u; i < 8u; i++) { // unroll
            let v = x[first + min(row + i, last) * 8u];
            sums[i] += v.x * w0 + v.y * w1 + v.z * w2 + v.w * w3;
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        if (row + i < rows) {
            y[panel_index(rows, row + i, column) / 4u] = inside(sums[i], column, params.columns);
        }
    }
}

// 8 rows by 8 columns per invocation; both are contiguous within their panels.
@compute @workgroup_size(4, 8)
fn matmul_transposed(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    let column = id.x * 8u;
    if (row >= params.rows || column >= params.pitch) {
        return;
    }
    let depth = loop_bound(params.depth, arrayLength(&x));
    let first_x = (row >> 5u) * depth * 8u + ((row & 31u) >> 2u);
    let first_w = (column >> 5u) * depth * 8u + ((column & 31u) >> 2u);
    var left: array<vec4<f32>, 8>;
    var right: array<vec4<f32>, 8>;
    for (var k = 0u; k < depth; k++) {
        let v0 = x[first_x + k * 8u];
        let v1 = x[first_x + k * 8u + 1u];
        let l = w[first_w + k * 8u];
        let r = w[first_w + k * 8u + 1u];
        for (var i = 0u; i < 4u; i++) { // unroll
            left[i] += v0[i] * l;
            right[i] += v0[i] * r;
            left[i + 4u] += v1[i] * l;
            right[i + 4u] += v1[i] * r;
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        if (row + i < params.rows) {
            let at = ((row + i) * params.pitch + column) / 4u;
            y[at] = inside(left[i], column, params.columns);
            y[at + 1u] = inside(right[i], column + 4u, params.columns);
        }
    }
}
