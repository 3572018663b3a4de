// float_bits: y[i][c] = sum_j x(i, j) * s(j, c), floats by signs, where the bits are packed along the *output* axis c.
// float_bits:            x in panels [depth/32][rows][32]; the forward of a float input by transposed weights, and dX = dY * W.
// float_bits_masked:     dX where a mask is set, 0 elsewhere.
// float_bits_transposed: x in panels [rows/32][depth][32], read as its transpose; dW = dY^T * A, depth is the batch.
// import: index, bits
// pieces: y

struct Params {
    rows: u32,    // of y
    columns: u32, // of y: signs in a row of `bits`
    depth: u32,   // terms of a sum: rows of `bits`
    words: u32,   // of a row of `bits`: ceil(columns / 32)
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;          // panels, as above for each entry
@group(0) @binding(1) var<storage, read> bits: array<u32>;          // panels [depth/32][words][32]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>; // panels [columns/32][rows][32]; transposed: rows [rows][words * 32]
@group(0) @binding(3) var<storage, read> kept: array<u32>;          // mask, bits, panels [rows/32][words][32]

@group(1) @binding(0) var<uniform> params: Params;

const COVER: vec3<u32> = vec3<u32>(64u, 32u, 1u);

struct Sums {
    left: array<vec4<f32>, 8>,
    right: array<vec4<f32>, 8>,
}

// An invocation has 8 rows by 8 columns, if it has any.
fn is_inside(id: vec3<u32>) -> bool {
    return id.y * 8u < params.rows && id.x * 8u < params.words * 32u;
}

// Lanes of x beyond depth are 0, so whole groups of four j do.
fn product(row: u32, column: u32) -> Sums {
    let rows = params.rows;
    let last = rows - 1u;
    let depth = loop_bound(params.depth, arrayLength(&bits));
    let shift = column & 31u;
    var sums: Sums;
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
            sums.left[i] += v.x * l[0] + v.y * l[1] + v.z * l[2] + v.w * l[3];
            sums.right[i] += v.x * r[0] + v.y * r[1] + v.z * r[2] + v.w * r[3];
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        sums.left[i] = inside(sums.left[i], column, params.columns);
        sums.right[i] = inside(sums.right[i], column + 4u, params.columns);
    }
    return sums;
}

@compute @workgroup_size(8, 4)
fn float_bits(@builtin(global_invocation_id) id: vec3<u32>) {
    if (!is_inside(id)) {
        return;
    }
    let sums = product(id.y * 8u, id.x * 8u);
    for (var i = 0u; i < 8u; i++) { // unroll
        if (id.y * 8u + i < params.rows) {
            let at = panel_index(params.rows, id.y * 8u + i, id.x * 8u) / 4u;
            y[at] = sums.left[i];
            y[at + 1u] = sums.right[i];
        }
    }
}

// 0 where the mask of the sign that made the bits' columns is not set: dX behind the clip surrogate.
@compute @workgroup_size(8, 4)
fn float_bits_masked(@builtin(global_invocation_id) id: vec3<u32>) {
    if (!is_inside(id)) {
        return;
    }
    let sums = product(id.y * 8u, id.x * 8u);
    let column = id.x * 8u;
    for (var i = 0u; i < 8u; i++) { // unroll
        let row = id.y * 8u + i;
        if (row < params.rows) {
            let at = panel_index(params.rows, row, column) / 4u;
            let word = kept[word_index(params.words, row, column >> 5u)];
            y[at] = where_set(sums.left[i], word, column & 31u);
            y[at + 1u] = where_set(sums.right[i], word, (column & 31u) + 4u);
        }
    }
}

// The same tile; eight rows of y lie side by side in x.
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
