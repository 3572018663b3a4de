// Pooling over windows of images, per channel.
// max_pool_backward: adds dy(p, c) to the tap that held the maximum.
// avg_pool: y(p, c) = sum over taps of x(source(p, t), c) / taps; a padded tap counts as 0, PyTorch's default.
// avg_pool_backward: adds dy(p, c) / taps to every tap.
// import: conv, index
// limit: out_channels <= in_channels
// limit: in_channels <= out_channels
// per panel: y, dx

var<storage, read> x: array<u32>; // f32 or i32, panels [in_channels/32][in_pixels][32]
var<storage, read_write> y: array<u32>; // panels [out_channels/32][out_pixels][32]
var<storage, read> taken: array<u32>; // taps of the largest, bytes, four to a word, [out_channels/32][out_pixels][32] of 8 bits
var<storage, read> dy: array<f32>; // panels [out_channels/32][out_pixels][32]
var<storage, read_write> dx: array<f32>; // panels [in_channels/32][in_pixels][32]

const THREADS: u32 = 64u;

fn load(i: u32) -> f32 {
    return select(bitcast<f32>(x[i]), f32(bitcast<i32>(x[i])), params.integer != 0u);
}

fn in_rows() -> u32 {
    return params.batch * params.in_height * params.in_width;
}

fn out_rows() -> u32 {
    return params.batch * params.out_height * params.out_width;
}

// One element per invocation, also in the entry points below.
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
fn avg_pool(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
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
fn avg_pool_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
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
