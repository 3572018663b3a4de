// Operations with one learned parameter v per channel, selected by `kind` in Params:
// BIAS: y = x + v; SCALE: y = x * v; PRELU: y = x where x > 0, else x * v (He et al. 2015, section 2.1).
// backward: dx = dy * dy/dx, and dv = sum over rows of dy * dy/dv, in two passes: per block of rows, then over blocks.
// import: index, reduce
// per panel: y, dx, partial

struct Params {
    rows: u32,
    columns: u32,
    kind: u32,
    integer: u32, // 1: x holds i32 (a product of bits), 0: f32
    block: u32,   // rows per block of partial sums
    blocks: u32,
}

var<storage, read> x: array<u32>; // f32 or i32, [columns/32][rows][32]
var<storage, read> v: array<f32>; // [columns]
var<storage, read_write> y: array<f32>; // as x
var<storage, read> dy: array<f32>; // as x
var<storage, read_write> dx: array<f32>; // as x
var<storage, read_write> partial: array<f32>; // [columns/32][blocks][32]
var<storage, read> parts: array<f32>; // partial where it is read, as partial
var<storage, read_write> dv: array<f32>; // [columns]

var<uniform> params: Params;

// grid by_channel_backward: [columns/32][blocks][1]
// grid channel_sums: [columns/32][blocks][1]
// limit: (blocks - 1) * block < rows
const BIAS: u32 = 0u;
const SCALE: u32 = 1u;
const PRELU: u32 = 2u;
const THREADS: u32 = 64u;
const COVER_by_channel: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_by_channel_backward: vec3<u32> = vec3<u32>(1u, 1u, 1u);
const COVER_channel_sums: vec3<u32> = vec3<u32>(1u, 1u, 1u);
const COVER_join_sums: vec3<u32> = vec3<u32>(32u, 1u, 1u);

fn load(i: u32) -> f32 {
    return select(bitcast<f32>(x[i]), f32(bitcast<i32>(x[i])), params.integer != 0u);
}

// One element of the panels per invocation, including tail lanes, which become 0.
@compute @workgroup_size(THREADS)
fn by_channel(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&y)) {
        return;
    }
    let channel = (i >> 5u) / params.rows * 32u + (i & 31u);
    let value = load(i);
    let by = v[min(channel, params.columns - 1u)];
    var next = value + by;
    if (params.kind != BIAS) {
        next = select(value * by, value, params.kind == PRELU && value > 0.0);
    }
    y[i] = select(0.0, next, channel < params.columns);
}

// One block of one panel per workgroup.
@compute @workgroup_size(LANES, STRIPES)
fn by_channel_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let rows = loop_bound(min(params.block, params.rows - group.y * params.block), arrayLength(&x));
    let first = (group.x * params.rows + group.y * params.block) * 32u + local.x;
    let channel = group.x * 32u + local.x;
    let by = select(0.0, v[min(channel, params.columns - 1u)], channel < params.columns);
    var sum = 0.0;
    for (var row = local.y; row < rows; row += STRIPES) {
        let i = first + row * 32u;
        let value = load(i);
        let passes = params.kind == PRELU && value > 0.0;
        dx[i] = select(dy[i] * by, dy[i], passes);
        sum += select(dy[i] * value, 0.0, passes);
    }
    sum = sum_stripes(vec2<f32>(sum, 0.0), local.x, local.y).x;
    if (local.y == 0u) {
        partial[(group.x * params.blocks + group.y) * 32u + local.x] = sum;
    }
}

// Sums dy per block, for BIAS, whose dx is dy.
@compute @workgroup_size(LANES, STRIPES)
fn channel_sums(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let rows = loop_bound(min(params.block, params.rows - group.y * params.block), arrayLength(&dy));
    let first = (group.x * params.rows + group.y * params.block) * 32u + local.x;
    var sum = 0.0;
    for (var row = local.y; row < rows; row += STRIPES) {
        sum += dy[first + row * 32u];
    }
    sum = sum_stripes(vec2<f32>(sum, 0.0), local.x, local.y).x;
    if (local.y == 0u) {
        partial[(group.x * params.blocks + group.y) * 32u + local.x] = sum;
    }
}

// One channel per invocation.
@compute @workgroup_size(32)
fn join_sums(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.columns) {
        return;
    }
    let blocks = loop_bound(params.blocks, arrayLength(&parts));
    var sum = 0.0;
    for (var block = 0u; block < blocks; block++) {
        sum += parts[((id.x >> 5u) * blocks + block) * 32u + (id.x & 31u)];
    }
    dv[id.x] = sum;
}
