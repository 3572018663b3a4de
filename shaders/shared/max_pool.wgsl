// The largest of each window of an image.
// import: conv, index
// per panel: y, chosen

var<storage, read> x: array<u32>;           // f32 or i32, panels [in_channels/32][in_pixels][32]
var<storage, read_write> y: array<u32>;     // panels [out_channels/32][out_pixels][32]
var<storage, read_write> chosen: array<u32>; // bytes, four to a word, [out_channels/32][out_pixels][32] of 8 bits

fn load(i: u32) -> f32 {
    return select(bitcast<f32>(x[i]), f32(bitcast<i32>(x[i])), params.integer != 0u);
}

// Four channels of an output pixel, which are one word of chosen taps, number `i`; gives where the largest are.
fn largest(i: u32) -> vec4<u32> {
    let rows = params.batch * params.out_height * params.out_width;
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
                let at = (panel * (params.batch * params.in_height * params.in_width) + pixel) * 32u + (i & 7u) * 4u;
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
        y[i * 4u + lane] = x[min(best[lane], arrayLength(&x) - 1u)]; // Every window sees a pixel.
    }
    chosen[i] = which.x | (which.y << 8u) | (which.z << 16u) | (which.w << 24u);
    return best;
}
