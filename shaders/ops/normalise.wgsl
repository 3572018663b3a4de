// normalise: converts bytes of pixels to floats, x = scale[c] * byte + shift[c], where c is the channel; NHWC, at most four channels.
// The first node of every network: batches are uploaded as bytes.
// import: index

struct Params {
    scale: vec4<f32>, // per channel
    shift: vec4<f32>,
    rows: u32,     // samples in the batch
    columns: u32,  // pixels * channels per sample
    channels: u32,
}

var<storage, read> pixels: array<u32>; // bytes, four to a word, [rows][columns] of 8 bits
var<storage, read_write> x: array<f32>; // [columns/32][rows][32]

// limit: 0 < rows
var<uniform> params: Params;

// limit: 0 < channels
// limit: channels <= 4
const THREADS: u32 = 64u;

// One element of the panels per invocation, including tail lanes, which become 0.
@compute @workgroup_size(THREADS)
fn normalise(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    let row = (i >> 5u) % params.rows;
    let panel = (i >> 5u) / params.rows;
    let column = panel * 32u + (i & 31u);
    if (panel >= (params.columns + 31u) / 32u) {
        return;
    }
    var value = 0.0;
    if (column < params.columns) {
        let at = row * params.columns + column;
        let byte = (pixels[at >> 2u] >> ((at & 3u) * 8u)) & 255u;
        let channel = column % params.channels;
        value = params.scale[channel] * f32(byte) + params.shift[channel];
    }
    x[i] = value;
}
