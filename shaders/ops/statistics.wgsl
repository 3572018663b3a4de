// Mean and biased variance of a matrix per channel, over the rows that hold samples. If there are at least two such rows,
// running = running + momentum * (batch - running), with the unbiased variance (Ioffe and Szegedy 2015, algorithm 1).
// The first pass reduces blocks of rows, here or in the epilogue of the product or pooling that computes the matrix (epilogues/statistics.wgsl). The
// second pass combines the blocks.
// import: norm, index, step, reduce

var<storage, read> y: array<u32>; // i32 or f32, [columns/32][rows][32]
var<storage, read_write> partial: array<f32>; // mean and sum of squared deviations, [columns/32][blocks][2][32]
var<storage, read> parts: array<f32>; // partial where it is read, as partial
var<storage, read_write> mean: array<f32>; // [columns]
var<storage, read_write> variance: array<f32>; // biased, [columns]
var<storage, read_write> running_mean: array<f32>; // [columns]
var<storage, read_write> running_variance: array<f32>; // unbiased, [columns]

// grid join_statistics: [columns/32][1][1]
const COVER: vec3<u32> = vec3<u32>(1u, 1u, 1u);

fn load(i: u32) -> f32 {
    return select(bitcast<f32>(y[i]), f32(bitcast<i32>(y[i])), params.integer != 0u);
}

// One block of one panel per workgroup. Integers are centred on an integer, so that their squares and sums are integers: exact below 2^24.
@compute @workgroup_size(LANES, STRIPES)
fn block_statistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let place = linear_group(group, groups);
    if (place >= (params.columns + 31u) / 32u * params.blocks) {
        return;
    }
    let panel = place / params.blocks;
    let block = place % params.blocks;
    let count = loop_bound(rows_in(block), arrayLength(&y));
    let first = (panel * params.rows + block * params.block) * 32u + local.x;
    let n = f32(max(count, 1u));
    var sum = 0.0;
    for (var row = local.y; row < count; row += STRIPES) {
        sum += load(first + row * 32u);
    }
    let total = sum_stripes(vec2<f32>(sum, 0.0), local.x, local.y).x;
    let shift = select(total / n, trunc(total / n), params.integer != 0u);
    var squares = 0.0;
    for (var row = local.y; row < count; row += STRIPES) {
        let d = load(first + row * 32u) - shift;
        squares += d * d;
    }
    squares = sum_stripes(vec2<f32>(squares, 0.0), local.x, local.y).x;
    if (local.y == 0u) {
        let at = (panel * params.blocks + block) * 64u + local.x;
        let rest = total - n * shift;
        partial[at] = total / n;
        partial[at + 32u] = squares - rest * rest / n;
    }
}

// One panel per workgroup, every eighth block per stripe. Blocks are combined as in Chan, Golub, LeVeque 1979.
@compute @workgroup_size(LANES, STRIPES)
fn join_statistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let blocks = loop_bound(params.blocks, arrayLength(&parts));
    let first = group.x * blocks * 64u + local.x;
    let n = f32(step.valid_rows * params.pixels);
    var share = 0.0;
    for (var block = local.y; block < blocks; block += STRIPES) {
        share += parts[first + block * 64u] * (f32(rows_in(block)) / n);
    }
    let batch_mean = sum_stripes(vec2<f32>(share, 0.0), local.x, local.y).x;
    var squares = 0.0;
    for (var block = local.y; block < blocks; block += STRIPES) {
        let d = parts[first + block * 64u] - batch_mean;
        squares += parts[first + block * 64u + 32u] + d * d * f32(rows_in(block));
    }
    let deviation = sum_stripes(vec2<f32>(squares, 0.0), local.x, local.y).x;
    let channel = group.x * 32u + local.x;
    if (local.y == 0u && channel < params.columns) {
        mean[channel] = batch_mean;
        variance[channel] = deviation / n;
        let unbiased = deviation / max(n - 1.0, 1.0);
        // One row has no unbiased variance: the running statistics stay unchanged.
        let momentum = select(0.0, params.momentum, step.valid_rows * params.pixels > 1u);
        running_mean[channel] += momentum * (batch_mean - running_mean[channel]);
        running_variance[channel] += momentum * (unbiased - running_variance[channel]);
    }
}
