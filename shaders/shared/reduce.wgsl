// Sums over the rows of a matrix in panels, in two passes whose order depends only on the shape. A workgroup reduces a block of rows of one panel to
// a partial result `[panels][blocks][..][32]`; another kernel adds the blocks in order. A workgroup has LANES channels by STRIPES rows.

const LANES: u32 = 32u;
const STRIPES: u32 = 8u;

var<workgroup> sh_sums: array<vec2<f32>, 256>; // LANES * STRIPES

// Returns the sum over the stripes of a channel, in order.
fn sum_stripes(value: vec2<f32>, lane: u32, stripe: u32) -> vec2<f32> {
    workgroupBarrier();
    sh_sums[stripe * LANES + lane] = value;
    workgroupBarrier();
    var sum = vec2<f32>(0.0);
    for (var s = 0u; s < STRIPES; s++) { // unroll
        sum += sh_sums[s * LANES + lane];
    }
    return sum;
}
