// Weight gradient of a convolution of signs by signs: a sum over all output pixels of all images, without an im2col buffer.
// dw(t, o, c) = sum over p of dy(p, o) * a(source(p, t), c).
// (Courbariaux et al. 2016, "Binarized Neural Networks", section 1.)
// import: conv, index, bits
// limit: 0 < words
// limit: in_channels/groups <= words * 32
// limit: groups * words <= in_channels/32
// limit: groups <= out_channels/32
// limit: out_channels/32/groups * groups <= out_channels/32
// per panel: dw

var<storage, read> a: array<u32>; // bits of the input, panels [in_pixels/32][in_channels/32][32]
var<storage, read> dy: array<vec4<f32>>; // panels [out_channels/32][out_pixels][32]
var<storage, read_write> dw: array<vec4<f32>>; // rows [taps * out_channels][words * 32]

// grid conv_bits_weight: [words * 32][out_channels/32 * 32][taps]
// grid conv_bits_weight_split: [words * 32][out_channels/32 * 32][taps]
const COLUMNS: u32 = 8u;
const ROWS: u32 = 4u;
const COVER_conv_bits_weight: vec3<u32> = vec3<u32>(COLUMNS * 8u, ROWS * 8u, 1u);

// For many pixels and few weights: the invocations of a workgroup split the pixels of one tile of weights.
const SPLIT: u32 = 64u;
const COVER_conv_bits_weight_split: vec3<u32> = vec3<u32>(8u, 8u, 1u);

var<workgroup> sh_sums: array<vec4<f32>, 1024>; // [16][SPLIT]

// Adds the contributions of every `stride`-th output pixel from `first` on to a tile of 8 output channels (two vec4 each) by 8 input channels.
fn add_pixels(sums: ptr<function, array<vec4<f32>, 16>>, row: u32, column: u32, tap: u32, first: u32, stride: u32) {
    let out_rows = loop_bound(params.batch * params.out_height * params.out_width, arrayLength(&dy));
    let in_words = (params.in_channels + 31u) / 32u;
    let word = row / (padded(params.out_channels) / params.groups) * params.words + (column >> 5u);
    let shift = column & 31u;
    let at_dy = (row >> 5u) * out_rows * 8u + ((row & 31u) >> 2u);
    let missing = select(0.0, 1.0, params.pad_one != 0u);
    let ky = tap / params.kernel_width;
    let kx = tap - ky * params.kernel_width;
    let step = out_place(stride);
    var place = out_place(first);
    for (var p = first; p < out_rows; p += stride) {
        let pixel = source(place, ky, kx);
        place = advance(place, step);
        var l = vec4<f32>(missing);
        var r = vec4<f32>(missing);
        if (pixel != ABSENT) {
            let bits = a[word_index(in_words, pixel, word)];
            l = signs_of(bits, shift);
            r = signs_of(bits, shift + 4u);
        }
        let v0 = dy[at_dy + p * 8u];
        let v1 = dy[at_dy + p * 8u + 1u];
        for (var i = 0u; i < 4u; i++) { // unroll
            (*sums)[2u * i] += v0[i] * l;
            (*sums)[2u * i + 1u] += v0[i] * r;
            (*sums)[2u * i + 8u] += v1[i] * l;
            (*sums)[2u * i + 9u] += v1[i] * r;
        }
    }
}

fn store(value: vec4<f32>, row: u32, column: u32, tap: u32) {
    if (row < params.out_channels) {
        let at = ((tap * params.out_channels + row) * params.words * 32u + column) / 4u;
        dw[at] = inside(value, column, params.in_channels / params.groups);
    }
}

// One tile of weights per invocation; z is the tap.
@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits_weight(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    let column = id.x * 8u;
    if (row >= params.out_channels || column >= params.words * 32u) {
        return;
    }
    var sums: array<vec4<f32>, 16>;
    add_pixels(&sums, row, column, id.z, 0u, 1u);
    for (var i = 0u; i < 16u; i++) { // unroll
        store(sums[i], row + i / 2u, column + i % 2u * 4u, id.z);
    }
}

// One tile of weights per workgroup.
@compute @workgroup_size(SPLIT)
fn conv_bits_weight_split(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * 8u;
    let column = group.x * 8u;
    var sums: array<vec4<f32>, 16>;
    add_pixels(&sums, row, column, group.z, lane, SPLIT);
    for (var i = 0u; i < 16u; i++) { // unroll
        sh_sums[i * SPLIT + lane] = sums[i];
    }
    for (var half = SPLIT / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            for (var i = 0u; i < 16u; i++) { // unroll
                sh_sums[i * SPLIT + lane] += sh_sums[i * SPLIT + lane + half];
            }
        }
    }
    workgroupBarrier();
    if (lane < 16u) {
        store(sh_sums[lane * SPLIT], row + lane / 2u, column + lane % 2u * 4u, group.z);
    }
}
