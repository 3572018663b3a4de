// Maximum of each window of an image.
// import: conv, index

var<storage, read> x: array<u32>;           // f32 or i32, panels [in_channels/32][in_pixels][32]

fn load(i: u32) -> f32 {
    return select(bitcast<f32>(x[i]), f32(bitcast<i32>(x[i])), params.integer != 0u);
}

// Indices in `x` of the maxima of four channels, and their taps, one per byte.
struct Largest {
    at: vec4<u32>,
    taps: u32,
}

// Pools four channels of an output pixel, those of word `i` of `chosen`.
fn largest(i: u32) -> Largest {
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
    // Every window contains a pixel.
    let at = min(best, vec4<u32>(arrayLength(&x) - 1u));
    return Largest(at, which.x | (which.y << 8u) | (which.z << 16u) | (which.w << 24u));
}
