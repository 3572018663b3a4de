// Pooling over windows of images, channel by channel.
// max_pool:  y(p, c) = max over taps of x(source(p, t), c), and which tap it was, the first of equals.
// mean_pool: y(p, c) = sum over taps of x(source(p, t), c) / taps; a padded tap is 0, as PyTorch's default.
// Their backward gives dy(p, c) to that tap, or a share to every tap.
// import: conv, index, epilogue
// pieces: y, chosen, dx, partial

@group(0) @binding(0) var<storage, read> x: array<u32>;             // f32 or i32, panels [channels/32][in pixels][32]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;       // max: as x; mean: f32; panels
@group(0) @binding(2) var<storage, read_write> chosen: array<u32>;  // bytes, [channels/32][out pixels][32], four to a word
@group(0) @binding(3) var<storage, read> taken: array<u32>;         // chosen, where it is read
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // panels [channels/32][out pixels][32]
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // panels [channels/32][in pixels][32]
@group(0) @binding(6) var<storage, read_write> partial: array<vec4<f32>>; // statistics of y, [channels/32][out pixels/32][2][32]

const THREADS: u32 = 64u;
const COVER_max_pool: vec3<u32> = vec3<u32>(THREADS * 4u, 1u, 1u);
const INVOCATIONS: u32 = 64u; // 4 times 8 channels by 16 times 8 pixels
const COVER_max_pool_statistics: vec3<u32> = vec3<u32>(32u, 128u, 1u);

fn load(i: u32) -> f32 {
    return select(bitcast<f32>(x[i]), f32(bitcast<i32>(x[i])), params.integer != 0u);
}

fn in_rows() -> u32 {
    return params.batch * params.in_height * params.in_width;
}

fn out_rows() -> u32 {
    return params.batch * params.out_height * params.out_width;
}

// Four channels of an output pixel, which are one word of chosen taps, number `i`; gives where the largest are.
fn largest(i: u32) -> vec4<u32> {
    let rows = out_rows();
    let place = out_place((i >> 3u) % rows);
    let panel = (i >> 3u) / rows;
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&x) + MAX_TAPS);
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&x) + MAX_TAPS);
    var best = vec4<u32>(ABSENT);
    var which = vec4<u32>(0u);
    for (var ky = 0u; ky < kernel_height; ky++) {
        for (var kx = 0u; kx < kernel_width; kx++) {
            let tap = ky * kernel_width + kx;
            let pixel = source(place, ky, kx);
            if (pixel != ABSENT) {
                let at = (panel * in_rows() + pixel) * 32u + (i & 7u) * 4u;
                for (var lane = 0u; lane < 4u; lane++) { // unroll
                    if (best[lane] == ABSENT || load(at + lane) > load(best[lane])) {
                        best[lane] = at + lane;
                        which[lane] = tap;
                    }
                }
            }
        }
    }
    for (var lane = 0u; lane < 4u; lane++) { // unroll
        y[i * 4u + lane] = x[best[lane]];
    }
    chosen[i] = which.x | (which.y << 8u) | (which.z << 16u) | (which.w << 24u);
    return best;
}

@compute @workgroup_size(THREADS)
fn max_pool(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&chosen)) {
        _ = largest(i);
    }
}

// The same of integers, and the statistics of y. An invocation has 8 channels of 8 pixels.
@compute @workgroup_size(4, 16)
fn max_pool_statistics(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let id = folded(invocation, groups, 16u);
    let rows = out_rows();
    let columns = padded(params.out_channels);
    var values: array<vec4<i32>, 16>;
    for (var r = 0u; r < 16u; r++) {
        let row = id.y * 8u + r / 2u;
        if (row < rows) {
            let best = largest(((id.x >> 2u) * rows + row) * 8u + (id.x & 3u) * 2u + (r & 1u));
            values[r] = bitcast<vec4<i32>>(vec4<u32>(x[best.x], x[best.y], x[best.z], x[best.w]));
        }
    }
    let valid = step.valid_rows * params.out_height * params.out_width;
    block_statistics(&values, Matrix(rows, columns, valid), id * 8u, local.xy, 4u);
}

// An invocation has one element; so in those that follow.
@compute @workgroup_size(THREADS)
fn max_pool_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&dx)) {
        return;
    }
    let place = in_place((i >> 5u) % in_rows());
    let panel = (i >> 5u) / in_rows();
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&dx) + MAX_TAPS);
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&dx) + MAX_TAPS);
    var sum = 0.0;
    for (var ky = 0u; ky < kernel_height; ky++) {
        for (var kx = 0u; kx < kernel_width; kx++) {
            let tap = ky * kernel_width + kx;
            let pixel = sink(place, ky, kx);
            if (pixel != ABSENT) {
                let at = (panel * out_rows() + pixel) * 32u + (i & 31u);
                let which = (taken[at >> 2u] >> ((at & 3u) * 8u)) & 255u;
                sum += select(0.0, dy[at], which == tap);
            }
        }
    }
    dx[i] = sum;
}

@compute @workgroup_size(THREADS)
fn mean_pool(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&y)) {
        return;
    }
    let place = out_place((i >> 5u) % out_rows());
    let panel = (i >> 5u) / out_rows();
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&x) + MAX_TAPS);
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&x) + MAX_TAPS);
    var sum = 0.0;
    for (var ky = 0u; ky < kernel_height; ky++) {
        for (var kx = 0u; kx < kernel_width; kx++) {
            let pixel = source(place, ky, kx);
            if (pixel != ABSENT) {
                sum += load((panel * in_rows() + pixel) * 32u + (i & 31u));
            }
        }
    }
    y[i] = bitcast<u32>(sum / f32(taps()));
}

@compute @workgroup_size(THREADS)
fn mean_pool_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&dx)) {
        return;
    }
    let place = in_place((i >> 5u) % in_rows());
    let panel = (i >> 5u) / in_rows();
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&dx) + MAX_TAPS);
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&dx) + MAX_TAPS);
    var sum = 0.0;
    for (var ky = 0u; ky < kernel_height; ky++) {
        for (var kx = 0u; kx < kernel_width; kx++) {
            let pixel = sink(place, ky, kx);
            if (pixel != ABSENT) {
                sum += dy[(panel * out_rows() + pixel) * 32u + (i & 31u)];
            }
        }
    }
    dx[i] = sum / f32(taps());
}
