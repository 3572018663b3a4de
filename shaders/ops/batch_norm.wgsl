// batch_norm: z = (y - mean) / sqrt(variance + epsilon) * scale + bias, by channel (Ioffe and Szegedy 2015, algorithm 1).
// Statistics are taken over the rows that hold samples; where there are at least two, running = running + momentum * (batch - running), variance unbiased there.
// backward: dz over rows gives  dbias = sum dz,  dscale = sum dz * n,  dy = scale * rstd * (dz - dbias / N - n * dscale / N),
// where n = (y - mean) * rstd and N is the number of rows that hold samples.
// import: index, step

struct Params {
    rows: u32,     // of y, the batch
    columns: u32,  // channels
    integer: u32,  // 1: y holds the i32 of a product of bits, 0: f32
    epsilon: f32,
    momentum: f32, // of the running statistics
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<storage, read> y: array<u32>;                    // i32 or f32, [columns/32][rows][32]
@group(0) @binding(1) var<storage, read_write> mean: array<f32>;           // [columns]
@group(0) @binding(2) var<storage, read_write> variance: array<f32>;       // [columns], biased
@group(0) @binding(3) var<storage, read_write> running_mean: array<f32>;   // [columns]
@group(0) @binding(4) var<storage, read_write> running_variance: array<f32>; // [columns], unbiased
@group(0) @binding(5) var<storage, read> center: array<f32>;               // mean, where it is only read
@group(0) @binding(6) var<storage, read> spread: array<f32>;               // variance, where it is only read
@group(0) @binding(7) var<storage, read> scale: array<f32>;                // [columns]
@group(0) @binding(8) var<storage, read> bias: array<f32>;                 // [columns]
@group(0) @binding(9) var<storage, read_write> z: array<f32>;              // [columns/32][rows][32]
@group(0) @binding(10) var<storage, read> dz: array<f32>;                  // [columns/32][rows][32]
@group(0) @binding(11) var<storage, read_write> dy: array<f32>;            // [columns/32][rows][32]
@group(0) @binding(12) var<storage, read_write> dscale: array<f32>;        // [columns]
@group(0) @binding(13) var<storage, read_write> dbias: array<f32>;         // [columns]

@group(1) @binding(0) var<uniform> params: Params;

// A workgroup of the reducing entries has one panel: LANES channels, STRIPES rows at a time.
const LANES: u32 = 32u;
const STRIPES: u32 = 8u;
const THREADS: u32 = 64u;
const COVER_batch_norm: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_batch_norm_statistics: vec3<u32> = vec3<u32>(1u, 1u, 1u);
const COVER_batch_norm_backward: vec3<u32> = vec3<u32>(1u, 1u, 1u);

var<workgroup> sh_sums: array<vec2<f32>, LANES * STRIPES>;

fn load(i: u32) -> f32 {
    return select(bitcast<f32>(y[i]), f32(bitcast<i32>(y[i])), params.integer != 0u);
}

// Sum over the stripes of a channel, in order.
fn sum_stripes(value: vec2<f32>, lane: u32, stripe: u32) -> vec2<f32> {
    workgroupBarrier();
    sh_sums[stripe * LANES + lane] = value;
    workgroupBarrier();
    var sum = vec2<f32>(0.0);
    for (var s = 0u; s < STRIPES; s++) { // unroll
        sum += sh_sums[s * LANES + lane];
    }
    return sum;
}

@compute @workgroup_size(LANES, STRIPES)
fn batch_norm_statistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let valid = step.valid_rows;
    let first = group.x * params.rows * 32u + local.x;
    let n = f32(valid);
    var sum = 0.0;
    for (var row = local.y; row < valid; row += STRIPES) {
        sum += load(first + row * 32u);
    }
    let center_of = sum_stripes(vec2<f32>(sum, 0.0), local.x, local.y).x / n;
    var squares = 0.0;
    for (var row = local.y; row < valid; row += STRIPES) {
        let d = load(first + row * 32u) - center_of;
        squares += d * d;
    }
    let deviation = sum_stripes(vec2<f32>(squares, 0.0), local.x, local.y).x;
    let channel = group.x * 32u + local.x;
    if (local.y == 0u && channel < params.columns) {
        mean[channel] = center_of;
        variance[channel] = deviation / n;
        let unbiased = deviation / max(n - 1.0, 1.0);
        // One row has no variance: the running statistics wait.
        let momentum = select(0.0, params.momentum, valid > 1u);
        running_mean[channel] += momentum * (center_of - running_mean[channel]);
        running_variance[channel] += momentum * (unbiased - running_variance[channel]);
    }
}

// An invocation has one element of the panels, tail lanes too (they are 0).
@compute @workgroup_size(THREADS)
fn batch_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&z)) {
        return;
    }
    let channel = (i >> 5u) / params.rows * 32u + (i & 31u);
    var value = 0.0;
    if (channel < params.columns) {
        let rstd = 1.0 / sqrt(spread[channel] + params.epsilon);
        value = (load(i) - center[channel]) * rstd * scale[channel] + bias[channel];
    }
    z[i] = value;
}

@compute @workgroup_size(LANES, STRIPES)
fn batch_norm_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let valid = step.valid_rows;
    let first = group.x * params.rows * 32u + local.x;
    let channel = group.x * 32u + local.x;
    let inside = channel < params.columns;
    let c = min(channel, params.columns - 1u);
    let middle = center[c];
    let rstd = 1.0 / sqrt(spread[c] + params.epsilon);
    var sums = vec2<f32>(0.0);
    for (var row = local.y; row < valid; row += STRIPES) {
        let i = first + row * 32u;
        sums += vec2<f32>(dz[i], dz[i] * (load(i) - middle) * rstd);
    }
    sums = sum_stripes(sums, local.x, local.y);
    if (local.y == 0u && inside) {
        dbias[channel] = sums.x;
        dscale[channel] = sums.y;
    }
    let gain = scale[c] * rstd;
    let means = sums / f32(valid);
    for (var row = local.y; row < params.rows; row += STRIPES) {
        let i = first + row * 32u;
        let normalised = (load(i) - middle) * rstd;
        let value = gain * (dz[i] - means.x - normalised * means.y);
        dy[i] = select(0.0, value, inside && row < valid);
    }
}
