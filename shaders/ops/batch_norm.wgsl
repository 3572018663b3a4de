// batch_norm: z = (y - mean) / sqrt(variance + epsilon) * scale + bias, per channel (Ioffe and Szegedy 2015, algorithm 1). statistics.wgsl computes
// mean and variance.
// backward, with sums over rows:  dbias = sum dz,  dscale = sum dz * n,  dy = scale * rstd * (dz - dbias / N - n * dscale / N),
// where n = (y - mean) * rstd and N is the number of rows that hold samples.
// import: norm, index, step, reduce
// per panel: z, dy

var<storage, read> y: array<u32>; // i32 or f32, [columns/32][rows][32]
var<storage, read_write> partial: array<f32>; // sums of dz and dz * n, [columns/32][blocks][2][32]
var<storage, read> parts: array<f32>; // partial where it is read, as partial
var<storage, read> mean: array<f32>; // [columns]
var<storage, read> variance: array<f32>; // biased, [columns]
var<storage, read> scale: array<f32>; // [columns]
var<storage, read> bias: array<f32>; // [columns]
var<storage, read_write> z: array<f32>; // [columns/32][rows][32]
var<storage, read> dz: array<f32>; // [columns/32][rows][32]
var<storage, read_write> dscale: array<f32>; // [columns]
var<storage, read_write> dbias: array<f32>; // [columns]
var<storage, read_write> new_gradient_means: array<f32>; // means of dz and dz * n over the samples, [columns/32][2][32]
var<storage, read> gradient_means: array<f32>; // the same where they are read, as new_gradient_means
var<storage, read_write> dy: array<f32>; // [columns/32][rows][32]

// grid batch_norm_sums: [columns/32][blocks][1]
const THREADS: u32 = 64u;
const COVER_batch_norm: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_batch_norm_backward: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_batch_norm_sums: vec3<u32> = vec3<u32>(1u, 1u, 1u);
const COVER_batch_norm_gradients: vec3<u32> = vec3<u32>(32u, 1u, 1u);

fn load(i: u32) -> f32 {
    return select(bitcast<f32>(y[i]), f32(bitcast<i32>(y[i])), params.integer != 0u);
}

// One element of the panels per invocation, including tail lanes, which become 0.
@compute @workgroup_size(THREADS)
fn batch_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&z)) {
        return;
    }
    let channel = (i >> 5u) / params.rows * 32u + (i & 31u);
    var value = 0.0;
    if (channel < params.columns) {
        let rstd = 1.0 / sqrt(variance[channel] + params.epsilon);
        value = (load(i) - mean[channel]) * rstd * scale[channel] + bias[channel];
    }
    z[i] = value;
}

// One block of one panel per workgroup.
@compute @workgroup_size(LANES, STRIPES)
fn batch_norm_sums(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let count = loop_bound(rows_in(group.y), arrayLength(&y));
    let first = (group.x * params.rows + group.y * params.block) * 32u + local.x;
    let c = min(group.x * 32u + local.x, params.columns - 1u);
    let channel_mean = mean[c];
    let rstd = 1.0 / sqrt(variance[c] + params.epsilon);
    var sums = vec2<f32>(0.0);
    for (var row = local.y; row < count; row += STRIPES) {
        let i = first + row * 32u;
        sums += vec2<f32>(dz[i], dz[i] * (load(i) - channel_mean) * rstd);
    }
    sums = sum_stripes(sums, local.x, local.y);
    if (local.y == 0u) {
        let at = (group.x * params.blocks + group.y) * 64u + local.x;
        partial[at] = sums.x;
        partial[at + 32u] = sums.y;
    }
}

// One channel per invocation, including tail channels, which become 0.
@compute @workgroup_size(32)
fn batch_norm_gradients(@builtin(global_invocation_id) id: vec3<u32>) {
    let channel = id.x;
    if (channel >= (params.columns + 31u) / 32u * 32u) {
        return;
    }
    let blocks = loop_bound(params.blocks, arrayLength(&parts));
    let first = (channel >> 5u) * blocks * 64u + (channel & 31u);
    var total = vec2<f32>(0.0);
    for (var block = 0u; block < blocks; block++) {
        total += vec2<f32>(parts[first + block * 64u], parts[first + block * 64u + 32u]);
    }
    if (channel < params.columns) {
        dbias[channel] = total.x;
        dscale[channel] = total.y;
    }
    let at = (channel >> 5u) * 64u + (channel & 31u);
    let n = f32(step.valid_rows * params.pixels);
    new_gradient_means[at] = total.x / n;
    new_gradient_means[at + 32u] = total.y / n;
}

// One element of the panels per invocation.
@compute @workgroup_size(THREADS)
fn batch_norm_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&dy)) {
        return;
    }
    let row = (i >> 5u) % params.rows;
    let channel = (i >> 5u) / params.rows * 32u + (i & 31u);
    let valid = step.valid_rows * params.pixels;
    var value = 0.0;
    if (channel < params.columns && row < valid) {
        let rstd = 1.0 / sqrt(variance[channel] + params.epsilon);
        let normalised = (load(i) - mean[channel]) * rstd;
        let at = (channel >> 5u) * 64u + (i & 31u);
        value = scale[channel] * rstd * (dz[i] - gradient_means[at] - normalised * gradient_means[at + 32u]);
    }
    dy[i] = value;
}
