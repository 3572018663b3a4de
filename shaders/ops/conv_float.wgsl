// Convolution of floats and its input gradient (weight gradient: conv_float_weight.wgsl), with any number of groups, including depthwise. Used for
// stems, shortcuts, layers with one binary operand (its signs are unpacked), and full-precision reference networks.
// conv_float:        y(p, o) = sum over taps t and channels c of o's group of x(source(p, t), c) * w(t, o, c).
// conv_float_input:  dx(p, c) = sum over t and o of c's group of dy(sink(p, t), o) * w(t, o, c).
// import: conv, index
// limit: in_channels/groups <= words * 32
// per panel: y, dx

var<storage, read> x: array<f32>; // panels [in_channels/32][in_pixels][32]
var<storage, read> w: array<f32>; // rows [taps * out_channels][words * 32]
var<storage, read_write> y: array<f32>; // panels [out_channels/32][out_pixels][32]
var<storage, read> dy: array<f32>; // as y
var<storage, read_write> dx: array<f32>; // as x

const COLUMNS: u32 = 32u;
const ROWS: u32 = 2u;
const COVER: vec3<u32> = vec3<u32>(COLUMNS, ROWS * 8u, 1u);

// 8 pixels of one output channel per invocation, including tail channels, which become 0.
@compute @workgroup_size(COLUMNS, ROWS)
fn conv_float(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    let channel = id.x;
    let row = id.y * 8u;
    let rows = params.batch * params.out_height * params.out_width;
    if (row >= rows || channel >= padded(params.out_channels)) {
        return;
    }
    let in_rows = params.batch * params.in_height * params.in_width;
    let depth = loop_bound(params.in_channels / params.groups, arrayLength(&w));
    let first_channel = channel / (params.out_channels / params.groups) * depth;
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&w));
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&w));
    let missing = f32(params.pad_one);
    var places: array<Pixel, 8>;
    for (var r = 0u; r < 8u; r++) { // unroll
        places[r] = out_place(min(row + r, rows - 1u));
    }
    var sums: array<f32, 8>;
    if (channel < params.out_channels) {
        for (var ky = 0u; ky < kernel_height; ky++) {
            for (var kx = 0u; kx < kernel_width; kx++) {
                let tap = ky * kernel_width + kx;
                var pixel: array<u32, 8>;
                var keep: array<f32, 8>;
                var gap: array<f32, 8>;
                for (var r = 0u; r < 8u; r++) { // unroll
                    let p = source(places[r], ky, kx);
                    pixel[r] = select(p, 0u, p == ABSENT);
                    keep[r] = select(1.0, 0.0, p == ABSENT);
                    gap[r] = select(0.0, missing, p == ABSENT);
                }
                let at_w = (tap * params.out_channels + channel) * params.words * 32u;
                for (var c = 0u; c < depth; c++) {
                    let weight = w[at_w + c];
                    for (var r = 0u; r < 8u; r++) { // unroll
                        sums[r] += (keep[r] * x[panel_index(in_rows, pixel[r], first_channel + c)] + gap[r]) * weight;
                    }
                }
            }
        }
    }
    for (var r = 0u; r < 8u; r++) { // unroll
        if (row + r < rows) {
            y[panel_index(rows, row + r, channel)] = sums[r];
        }
    }
}

// 8 pixels of one input channel per invocation.
@compute @workgroup_size(COLUMNS, ROWS)
fn conv_float_input(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    let channel = id.x;
    let row = id.y * 8u;
    let rows = params.batch * params.in_height * params.in_width;
    if (row >= rows || channel >= padded(params.in_channels)) {
        return;
    }
    let out_rows = params.batch * params.out_height * params.out_width;
    let depth = params.in_channels / params.groups;
    let outputs = loop_bound(params.out_channels / params.groups, arrayLength(&w));
    let first = channel / depth * outputs;
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&w));
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&w));
    var places: array<Pixel, 8>;
    for (var r = 0u; r < 8u; r++) { // unroll
        places[r] = in_place(min(row + r, rows - 1u));
    }
    var sums: array<f32, 8>;
    if (channel < params.in_channels) {
        for (var ky = 0u; ky < kernel_height; ky++) {
            for (var kx = 0u; kx < kernel_width; kx++) {
                let tap = ky * kernel_width + kx;
                var pixel: array<u32, 8>;
                var keep: array<f32, 8>;
                for (var r = 0u; r < 8u; r++) { // unroll
                    let p = sink(places[r], ky, kx);
                    pixel[r] = select(p, 0u, p == ABSENT);
                    keep[r] = select(1.0, 0.0, p == ABSENT);
                }
                for (var o = first; o < first + outputs; o++) {
                    let weight = w[(tap * params.out_channels + o) * params.words * 32u + channel % depth];
                    for (var r = 0u; r < 8u; r++) { // unroll
                        sums[r] += keep[r] * dy[panel_index(out_rows, pixel[r], o)] * weight;
                    }
                }
            }
        }
    }
    for (var r = 0u; r < 8u; r++) { // unroll
        if (row + r < rows) {
            dx[panel_index(rows, row + r, channel)] = sums[r];
        }
    }
}
