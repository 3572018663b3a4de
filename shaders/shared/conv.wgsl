// The geometry of a convolution over NHWC images: rows of an input are its pixels (batch, y, x), columns its channels. Weights are rows
// (tap, output channel) of a group's input channels, taps in the order (ky, kx): row = tap * out_channels + channel.

struct Params {
    batch: u32,
    in_height: u32,
    in_width: u32,
    in_channels: u32,
    out_height: u32,
    out_width: u32,
    out_channels: u32,
    groups: u32,        // group g reads and writes the g-th part of the channels
    kernel_height: u32,
    kernel_width: u32,
    stride: u32,
    dilation: u32,
    padding: u32,       // on each side
    pad_one: u32,       // 1: padded taps are +1 in every channel; 0: they are absent
    words: u32,         // words that hold a group's input channels
    integer: u32,       // of a pooling: 1 where images are integers, products of bits
}

@group(1) @binding(0) var<uniform> params: Params;

const ABSENT: u32 = 0xffffffffu;

fn taps() -> u32 {
    return params.kernel_height * params.kernel_width;
}

// Input pixel that a tap of output pixel `row` reads; ABSENT in the padding.
fn source(row: u32, tap: u32) -> u32 {
    let ox = row % params.out_width;
    let oy = (row / params.out_width) % params.out_height;
    let image = row / (params.out_width * params.out_height);
    // Below 0 these wrap, and are beyond the image too.
    let y = oy * params.stride + (tap / params.kernel_width) * params.dilation - params.padding;
    let x = ox * params.stride + (tap % params.kernel_width) * params.dilation - params.padding;
    let inside = y < params.in_height && x < params.in_width;
    return select(ABSENT, (image * params.in_height + y) * params.in_width + x, inside);
}

// Output pixel whose tap reads input pixel `row`; ABSENT where there is none.
fn sink(row: u32, tap: u32) -> u32 {
    let ix = row % params.in_width;
    let iy = (row / params.in_width) % params.in_height;
    let image = row / (params.in_width * params.in_height);
    let y = iy + params.padding - (tap / params.kernel_width) * params.dilation;
    let x = ix + params.padding - (tap % params.kernel_width) * params.dilation;
    let oy = y / params.stride;
    let ox = x / params.stride;
    let met = oy * params.stride == y && ox * params.stride == x && oy < params.out_height && ox < params.out_width;
    return select(ABSENT, (image * params.out_height + oy) * params.out_width + ox, met);
}
