// norm_sign: the backward of batch norm and the sign that follows it, with the clip surrogate; z = (x - mean) * rstd * scale + bias is never stored.
// It is the backward of batch_norm.wgsl with dz = dy where the mask |z| <= 1 is set, else 0. Forward: epilogues/threshold.wgsl.
// import: norm, index, bits, step, reduce
// per panel: dx

var<storage, read> x: array<u32>; // i32 or f32, [columns/32][rows][32]
var<storage, read> mean: array<f32>; // [columns]
var<storage, read> variance: array<f32>; // [columns]
var<storage, read> scale: array<f32>; // [columns]
var<storage, read> kept: array<u32>; // the mask, bits, panels [rows/32][columns/32][32]
var<storage, read> dy: array<f32>; // [columns/32][rows][32]
var<storage, read_write> partial: array<f32>; // sums of dz and dz * n, [columns/32][blocks][2][32]
var<storage, read> gradient_means: array<f32>; // means of dz and dz * n, as batch_norm_gradients has them, [columns/32][2][32]
var<storage, read_write> dx: array<f32>; // [columns/32][rows][32]

// grid norm_sign_sums: [columns/32][blocks][1]
const THREADS: u32 = 64u;
const COVER_norm_sign_backward: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_norm_sign_sums: vec3<u32> = vec3<u32>(1u, 1u, 1u);

fn load(i: u32) -> f32 {
    return select(bitcast<f32>(x[i]), f32(bitcast<i32>(x[i])), params.integer != 0u);
}

// Returns dz of one element: dy where the mask is 1, else 0.
fn masked(panel: u32, row: u32, lane: u32) -> f32 {
    let words = (params.columns + 31u) / 32u;
    let passes = kept[word_index(words, row, panel)] >> lane;
    return select(0.0, dy[(panel * params.rows + row) * 32u + lane], (passes & 1u) == 1u);
}

// One block of one panel per workgroup.
@compute @workgroup_size(LANES, STRIPES)
fn norm_sign_sums(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let begin = group.y * params.block;
    let count = loop_bound(rows_in(group.y), arrayLength(&x));
    let c = min(group.x * 32u + local.x, params.columns - 1u);
    let channel_mean = mean[c];
    let rstd = 1.0 / sqrt(variance[c] + params.epsilon);
    var sums = vec2<f32>(0.0);
    for (var row = local.y; row < count; row += STRIPES) {
        let dz = masked(group.x, begin + row, local.x);
        let value = load((group.x * params.rows + begin + row) * 32u + local.x);
        sums += vec2<f32>(dz, dz * (value - channel_mean) * rstd);
    }
    sums = sum_stripes(sums, local.x, local.y);
    if (local.y == 0u) {
        let at = (group.x * params.blocks + group.y) * 64u + local.x;
        partial[at] = sums.x;
        partial[at + 32u] = sums.y;
    }
}

// One element of the panels per invocation.
@compute @workgroup_size(THREADS)
fn norm_sign_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&dx)) {
        return;
    }
    let row = (i >> 5u) % params.rows;
    let panel = (i >> 5u) / params.rows;
    let channel = panel * 32u + (i & 31u);
    let valid = step.valid_rows * params.pixels;
    var value = 0.0;
    if (channel < params.columns && row < valid) {
        let rstd = 1.0 / sqrt(variance[channel] + params.epsilon);
        let normalised = (load(i) - mean[channel]) * rstd;
        let dz = masked(panel, row, i & 31u);
        let at = panel * 64u + (i & 31u);
        value = scale[channel] * rstd * (dz - gradient_means[at] - normalised * gradient_means[at + 32u]);
    }
    dx[i] = value;
}
