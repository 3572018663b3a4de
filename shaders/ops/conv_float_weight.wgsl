// Weight gradient of a convolution of floats.
// conv_float_weight, conv_float_weight_split: dw(t, o, c) = sum over p of dy(p, o) * x(source(p, t), c).
// import: conv, index
// limit: in_channels/groups <= words * 32

var<storage, read> x: array<f32>; // panels [in_channels/32][in_pixels][32]
var<storage, read> dy: array<f32>; // panels [out_channels/32][out_pixels][32]
var<storage, read_write> dw: array<f32>; // rows [taps * out_channels][words * 32]

// grid conv_float_weight: [words * 32][out_channels/32 * 32][taps]
// grid conv_float_weight_split: [words * 32][out_channels/32 * 32][taps]
const COLUMNS: u32 = 32u;
const ROWS: u32 = 2u;
const COVER_conv_float_weight: vec3<u32> = vec3<u32>(COLUMNS, ROWS, 1u);

const SPLIT: u32 = 64u;
const COVER_conv_float_weight_split: vec3<u32> = vec3<u32>(4u, 4u, 1u);

var<workgroup> sh_sums: array<vec4<f32>, 256>; // [4][SPLIT]

// One weight per invocation: x is the input channel of the group (including tail lanes), y the output channel, z the tap.
@compute @workgroup_size(COLUMNS, ROWS)
fn conv_float_weight(@builtin(global_invocation_id) id: vec3<u32>) {
    let depth = params.in_channels / params.groups;
    if (id.x >= params.words * 32u || id.y >= params.out_channels) {
        return;
    }
    let in_rows = params.batch * params.in_height * params.in_width;
    let out_rows = loop_bound(params.batch * params.out_height * params.out_width, arrayLength(&dy));
    let channel = id.y / (params.out_channels / params.groups) * depth + id.x;
    var sum = 0.0;
    if (id.x < depth) {
        let ky = id.z / params.kernel_width;
        let kx = id.z - ky * params.kernel_width;
        let step = out_place(1u);
        var place = Pixel(0u, 0u, 0u);
        for (var p = 0u; p < out_rows; p++) {
            let pixel = source(place, ky, kx);
            place = advance(place, step);
            var value = f32(params.pad_one);
            if (pixel != ABSENT) {
                value = x[panel_index(in_rows, pixel, channel)];
            }
            sum += dy[panel_index(out_rows, p, id.y)] * value;
        }
    }
    dw[(id.z * params.out_channels + id.y) * params.words * 32u + id.x] = sum;
}

// For many pixels and few weights: the invocations of a workgroup split the pixels of 4 output channels by 4 input channels.
@compute @workgroup_size(SPLIT)
fn conv_float_weight_split(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let depth = params.in_channels / params.groups;
    let in_rows = params.batch * params.in_height * params.in_width;
    let out_rows = loop_bound(params.batch * params.out_height * params.out_width, arrayLength(&dy));
    let output = group.y * 4u;
    let input = group.x * 4u;
    var sums: array<vec4<f32>, 4>;
    if (input < depth) {
        let ky = group.z / params.kernel_width;
        let kx = group.z - ky * params.kernel_width;
        let step = out_place(SPLIT);
        var place = out_place(lane);
        // For each output channel: the first input channel of the tile, and the last of its group, to which tail lanes are clamped.
        var first: array<u32, 4>;
        var last: array<u32, 4>;
        for (var i = 0u; i < 4u; i++) { // unroll
            let base = min(output + i, params.out_channels - 1u) / (params.out_channels / params.groups) * depth;
            first[i] = base + input;
            last[i] = base + depth - 1u;
        }
        for (var p = lane; p < out_rows; p += SPLIT) {
            let pixel = source(place, ky, kx);
            place = advance(place, step);
            for (var i = 0u; i < 4u; i++) { // unroll
                var values = vec4<f32>(f32(params.pad_one));
                if (pixel != ABSENT) {
                    for (var c = 0u; c < 4u; c++) { // unroll
                        values[c] = x[panel_index(in_rows, pixel, min(first[i] + c, last[i]))];
                    }
                }
                sums[i] += dy[panel_index(out_rows, p, output + i)] * values;
            }
        }
    }
    for (var i = 0u; i < 4u; i++) { // unroll
        sh_sums[i * SPLIT + lane] = sums[i];
    }
    for (var half = SPLIT / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            for (var i = 0u; i < 4u; i++) { // unroll
                sh_sums[i * SPLIT + lane] += sh_sums[i * SPLIT + lane + half];
            }
        }
    }
    workgroupBarrier();
    if (lane < 16u && output + lane / 4u < params.out_channels) {
        let row = group.z * params.out_channels + output + lane / 4u;
        let value = inside(sh_sums[lane / 4u * SPLIT], input, depth);
        dw[row * params.words * 32u + input + lane % 4u] = value[lane % 4u];
    }
}
