// Dropout of signs (Srivastava et al. 2014). A dropped sign becomes 0, the mean of +1 and -1. Two copies represent it: `plus` has +1 at dropped
// positions, `minus` has -1. The product with the dropped-out signs is exactly the mean of the products with the copies (join_dropped.wgsl).
// drop_signs:          plus = a or dropped, minus = a and not dropped.
// drop_signs_backward: da = d plus + d minus where kept, 0 where dropped.
// Element (row, column) uses random number row * words * 32 + column.
// import: bits, index, step, random

struct Params {
    rows: u32,
    columns: u32,
    stream: u32,    // of the random numbers
    threshold: u32, // p * 2^32: random numbers below it drop
}

var<storage, read> a: array<u32>; // bits, panels [rows/32][columns/32][32]
var<storage, read_write> plus: array<u32>; // as a
var<storage, read_write> minus: array<u32>; // as a
var<storage, read> up: array<f32>; // gradient of plus, panels [columns/32][rows][32]
var<storage, read> down: array<f32>; // gradient of minus, as up
var<storage, read_write> da: array<f32>; // as up

// limit: 0 < rows
var<uniform> params: Params;

const THREADS: u32 = 64u;

// One word per invocation.
@compute @workgroup_size(THREADS)
fn drop_signs(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&plus)) {
        return;
    }
    let words = (params.columns + 31u) / 32u;
    let row = (i >> 5u) / words * 32u + (i & 31u);
    let word = (i >> 5u) % words;
    let key = draws(step.seed, step.step, params.stream);
    var dropped = 0u;
    for (var lane = 0u; lane < 32u; lane++) {
        dropped |= select(0u, 1u << lane, draw(key, (row * words + word) * 32u + lane) < params.threshold);
    }
    let inside = select(0u, tail_mask(params.columns, word * 32u), row < params.rows);
    plus[i] = (a[i] | dropped) & inside;
    minus[i] = a[i] & ~dropped;
}

// One element per invocation.
@compute @workgroup_size(THREADS)
fn drop_signs_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&da)) {
        return;
    }
    let words = (params.columns + 31u) / 32u;
    let row = (i >> 5u) % params.rows;
    let number = (row * words + (i >> 5u) / params.rows) * 32u + (i & 31u);
    let keeps = draw(draws(step.seed, step.step, params.stream), number) >= params.threshold;
    da[i] = select(0.0, up[i] + down[i], keeps);
}
