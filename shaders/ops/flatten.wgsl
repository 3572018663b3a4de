// flatten: images to rows of features, y[b][p * channels + c] = x[b * pixels + p][c]; unflatten is the inverse and the backward.
// import: index
// per panel: y

struct Params {
    samples: u32,
    pixels: u32,   // per sample
    channels: u32,
}

var<storage, read> x: array<u32>; // 32-bit numbers, panels; flatten: [channels/32][samples * pixels][32]; unflatten: [pixels * channels/32][samples][32]
var<storage, read_write> y: array<u32>; // flatten: [pixels * channels/32][samples][32]; unflatten: [channels/32][samples * pixels][32]

// limit: 0 < samples
// limit: 0 < pixels
// limit: 0 < channels
var<uniform> params: Params;

const THREADS: u32 = 64u;

// One element of the panels per invocation, including tail lanes, which become 0.
@compute @workgroup_size(THREADS)
fn flatten(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&y)) {
        return;
    }
    let sample = (i >> 5u) % params.samples;
    let feature = (i >> 5u) / params.samples * 32u + (i & 31u);
    var value = 0u;
    if (feature < params.pixels * params.channels) {
        let row = sample * params.pixels + feature / params.channels;
        value = x[panel_index(params.samples * params.pixels, row, feature % params.channels)];
    }
    y[i] = value;
}

@compute @workgroup_size(THREADS)
fn unflatten(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&y)) {
        return;
    }
    let rows = params.samples * params.pixels;
    let row = (i >> 5u) % rows;
    let channel = (i >> 5u) / rows * 32u + (i & 31u);
    var value = 0u;
    if (channel < params.channels) {
        value = x[panel_index(params.samples, row / params.pixels, row % params.pixels * params.channels + channel)];
    }
    y[i] = value;
}
