// pool_bits: y(p, c) = max over taps of x(source(p, t), c) of signs, which is the OR of their bits; padded taps are absent.
// import: conv, index, bits
// limit: out_channels <= in_channels
// limit: in_channels <= out_channels

var<storage, read> x: array<u32>; // bits, panels [in_pixels/32][in_channels/32][32]
var<storage, read_write> y: array<u32>; // bits, panels [out_pixels/32][in_channels/32][32]

const THREADS: u32 = 64u;

// Returns the pixel of word `i` of y, and the word's index within the pixel. In the last panel the pixel may be past the end.
fn place_of(i: u32) -> vec2<u32> {
    let words = (params.in_channels + 31u) / 32u;
    return vec2<u32>((i >> 5u) / words * 32u + (i & 31u), (i >> 5u) % words);
}

// One word (32 channels of an output pixel) per invocation.
@compute @workgroup_size(THREADS)
fn max_pool_bits(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&y)) {
        return;
    }
    let at = place_of(i);
    let words = (params.in_channels + 31u) / 32u;
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&x) + MAX_TAPS);
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&x) + MAX_TAPS);
    var bits = 0u;
    if (at.x < params.batch * params.out_height * params.out_width) {
        let place = out_place(at.x);
        for (var ky = 0u; ky < kernel_height; ky++) {
            for (var kx = 0u; kx < kernel_width; kx++) {
                let pixel = source(place, ky, kx);
                if (pixel != ABSENT) {
                    bits |= x[word_index(words, pixel, at.y)];
                }
            }
        }
    }
    y[i] = bits;
}
