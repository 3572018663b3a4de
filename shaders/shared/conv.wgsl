// Geometry of a convolution over NHWC images. The rows of an input are its pixels (batch, y, x); the columns are its channels. Row
// tap * out_channels + channel of the weights holds the input channels of the group; taps are in the order (ky, kx).

// length taps = kernel_height * kernel_width
// length in_pixels = batch * in_height * in_width
// length out_pixels = batch * out_height * out_width
// limit: 0 < groups
// limit: 0 < stride
// limit: 0 < kernel_width
// limit: 0 < in_channels
// limit: 0 < out_channels
// limit: in_channels/groups * groups <= in_channels
// limit: out_channels/groups * groups <= out_channels
// limit: 0 < out_height * out_width
// limit: 0 < in_height * in_width

struct Params {
    batch: u32,
    in_height: u32,
    in_width: u32,
    in_channels: u32,
    out_height: u32,
    out_width: u32,
    out_channels: u32,
    groups: u32,        // group g reads and writes the g-th slice of the channels
    kernel_height: u32,
    kernel_width: u32,
    stride: u32,
    dilation: u32,
    padding: u32,       // on each side
    pad_one: u32,       // 1: padded taps are +1 in every channel; 0: padded taps contribute nothing
    words: u32,         // words per group of input channels
    integer: u32,       // pooling only: 1 if the images are integers (products of bits)
}

var<uniform> params: Params;

const ABSENT: u32 = 0xffffffffu;

const MAX_TAPS: u32 = 256u; // per side of a pooling window

fn taps() -> u32 {
    return params.kernel_height * params.kernel_width;
}

// Coordinates of a pixel. Integer divisions are expensive: they run once per pixel, not once per tap.
struct Pixel {
    image: u32,
    y: u32,
    x: u32,
}

fn out_place(row: u32) -> Pixel {
    let line = row / params.out_width;
    let image = line / params.out_height;
    return Pixel(image, line - image * params.out_height, row - line * params.out_width);
}

// Returns the output pixel `distance` rows after `out`, where step = out_place(distance).
fn advance(out: Pixel, step: Pixel) -> Pixel {
    var x = out.x + step.x;
    var y = out.y + step.y;
    let line_ends = x >= params.out_width;
    x -= select(0u, params.out_width, line_ends);
    y += select(0u, 1u, line_ends);
    let image_ends = y >= params.out_height;
    y -= select(0u, params.out_height, image_ends);
    return Pixel(out.image + step.image + select(0u, 1u, image_ends), y, x);
}

fn in_place(row: u32) -> Pixel {
    let line = row / params.in_width;
    let image = line / params.in_height;
    return Pixel(image, line - image * params.in_height, row - line * params.in_width);
}

// Returns the input pixel that tap (ky, kx) of an output pixel reads; ABSENT in the padding.
fn source(out: Pixel, ky: u32, kx: u32) -> u32 {
    // Values below 0 wrap to large ones and fail the same bounds check.
    let y = out.y * params.stride + ky * params.dilation - params.padding;
    let x = out.x * params.stride + kx * params.dilation - params.padding;
    let inside = y < params.in_height && x < params.in_width;
    return select(ABSENT, (out.image * params.in_height + y) * params.in_width + x, inside);
}

// Returns the output pixel whose tap (ky, kx) reads an input pixel; ABSENT if there is none.
fn sink(in: Pixel, ky: u32, kx: u32) -> u32 {
    var y = in.y + params.padding - ky * params.dilation;
    var x = in.x + params.padding - kx * params.dilation;
    var met = true;
    if (params.stride > 1u) {
        let oy = y / params.stride;
        let ox = x / params.stride;
        met = oy * params.stride == y && ox * params.stride == x;
        y = oy;
        x = ox;
    }
    met = met && y < params.out_height && x < params.out_width;
    return select(ABSENT, (in.image * params.out_height + y) * params.out_width + x, met);
}
