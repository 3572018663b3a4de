// Convolution of signs by signs, and its gradient for the images (that for the weights is in conv_bits_weight.wgsl): implicit products, no
// patches in memory. Groups are whole words and whole panels.
// conv_bits:       y(p, o) = sum over taps t and channels c of a(source(p, t), c) * w(t, o, c), exact.
// conv_bits_input: dx(p, c) = sum over t, o of dy(sink(p, t), o) * w(t, o, c).
// (Courbariaux et al. 2016, "Binarized Neural Networks", section 1; absent taps as in Rastegari et al. 2016 with zero padding.)
// import: conv, index, bits
// pieces: y, dx

@group(0) @binding(0) var<storage, read> a: array<u32>;              // bits of the input, panels [pixels/32][words][32]
@group(0) @binding(1) var<storage, read> w: array<vec4<u32>>;        // as conv_weights packs them
@group(0) @binding(2) var<storage, read> sums: array<vec4<i32>>;     // the same
@group(0) @binding(3) var<storage, read_write> y: array<vec4<i32>>;  // panels [out_channels/32][out pixels][32]
@group(0) @binding(4) var<storage, read> dy: array<vec4<f32>>;       // as y
@group(0) @binding(5) var<storage, read> weight: array<u32>;         // as w, word by word
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<f32>>; // panels [in_channels/32][in pixels][32]

const COLUMNS: u32 = 8u;
const ROWS: u32 = 4u;
const COVER: vec3<u32> = vec3<u32>(COLUMNS * 8u, ROWS * 8u, 1u);

// An invocation of each entry has 8 rows by 8 columns.
@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    let column = id.x * 8u;
    let rows = params.batch * params.out_height * params.out_width;
    if (row >= rows || column >= padded(params.out_channels)) {
        return;
    }
    let signs = params.in_channels / params.groups;
    let in_words = (params.in_channels + 31u) / 32u;
    let first_word = column / (padded(params.out_channels) / params.groups) * params.words;
    let words = loop_bound(params.words, arrayLength(&w));
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&w));
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&w));
    var counts: array<vec4<u32>, 16>;
    var at_w = (column >> 5u) * taps() * words * 8u + ((column & 31u) >> 2u);
    var absent = 0u;
    var places: array<Place, 8>;
    for (var r = 0u; r < 8u; r++) { // unroll
        places[r] = out_place(min(row + r, rows - 1u));
    }
    for (var ky = 0u; ky < kernel_height; ky++) {
        for (var kx = 0u; kx < kernel_width; kx++) {
            var first: array<u32, 8>;
            var keep: array<u32, 8>;
            for (var r = 0u; r < 8u; r++) { // unroll
                let pixel = source(places[r], ky, kx);
                let here = pixel != ABSENT;
                first[r] = select(0u, word_index(in_words, pixel, first_word), here);
                keep[r] = select(0u, 0xffffffffu, here);
                absent |= select(1u << r, 0u, here);
            }
            for (var k = 0u; k < words; k++) {
                let w0 = w[at_w];
                let w1 = w[at_w + 1u];
                let fill = select(0u, tail_mask(signs, k * 32u), params.pad_one != 0u);
                for (var r = 0u; r < 8u; r++) { // unroll
                    let word = (a[first[r] + k * 32u] & keep[r]) | (fill & ~keep[r]);
                    counts[2u * r] += countOneBits(vec4<u32>(word) ^ w0);
                    counts[2u * r + 1u] += countOneBits(vec4<u32>(word) ^ w1);
                }
                at_w += 8u;
            }
        }
    }
    let depth = vec4<i32>(i32(taps() * signs));
    let low = vec4<u32>(column, column + 1u, column + 2u, column + 3u);
    let at_sums = (column >> 5u) * taps() * 8u + ((column & 31u) >> 2u);
    for (var r = 0u; r < 8u; r++) { // unroll
        if (row + r < rows) {
            var left = depth - 2 * vec4<i32>(counts[2u * r]);
            var right = depth - 2 * vec4<i32>(counts[2u * r + 1u]);
            if (params.pad_one == 0u && (absent & (1u << r)) != 0u) {
                for (var ky = 0u; ky < kernel_height; ky++) {
                    for (var kx = 0u; kx < kernel_width; kx++) {
                        let tap = ky * kernel_width + kx;
                        if (source(places[r], ky, kx) == ABSENT) {
                            left += sums[at_sums + tap * 8u];
                            right += sums[at_sums + tap * 8u + 1u];
                        }
                    }
                }
            }
            // Tail lanes of the last panel are 0.
            let at = panel_index(rows, row + r, column) / 4u;
            y[at] = select(vec4<i32>(0), left, low < vec4<u32>(params.out_channels));
            y[at + 1u] = select(vec4<i32>(0), right, low + 4u < vec4<u32>(params.out_channels));
        }
    }
}

@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits_input(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    let column = id.x * 8u;
    let rows = params.batch * params.in_height * params.in_width;
    if (row >= rows || column >= padded(params.in_channels)) {
        return;
    }
    let out_rows = params.batch * params.out_height * params.out_width;
    let panels = loop_bound(padded(params.out_channels) / params.groups / 32u, arrayLength(&weight));
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&weight));
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&weight));
    let first_panel = (column >> 5u) / params.words * panels;
    let word = (column >> 5u) % params.words;
    let shift = column & 31u;
    var places: array<Place, 8>;
    for (var r = 0u; r < 8u; r++) { // unroll
        places[r] = in_place(min(row + r, rows - 1u));
    }
    var left: array<vec4<f32>, 8>;
    var right: array<vec4<f32>, 8>;
    for (var ky = 0u; ky < kernel_height; ky++) {
        for (var kx = 0u; kx < kernel_width; kx++) {
            let tap = ky * kernel_width + kx;
            var first: array<u32, 8>;
            var keep: array<f32, 8>;
            for (var r = 0u; r < 8u; r++) { // unroll
                let pixel = sink(places[r], ky, kx);
                first[r] = select(pixel, 0u, pixel == ABSENT);
                keep[r] = select(1.0, 0.0, pixel == ABSENT);
            }
            for (var panel = first_panel; panel < first_panel + panels; panel++) {
                for (var q = 0u; q < 8u; q++) {
                    let at_bits = ((panel * taps() + tap) * params.words + word) * 32u + q * 4u;
                    var l: array<vec4<f32>, 4>;
                    var r: array<vec4<f32>, 4>;
                    for (var t = 0u; t < 4u; t++) { // unroll
                        let bits = weight[at_bits + t];
                        l[t] = signs_of(bits, shift);
                        r[t] = signs_of(bits, shift + 4u);
                    }
                    for (var i = 0u; i < 8u; i++) { // unroll
                        let v = dy[(panel * out_rows + first[i]) * 8u + q] * keep[i];
                        left[i] += v.x * l[0] + v.y * l[1] + v.z * l[2] + v.w * l[3];
                        right[i] += v.x * r[0] + v.y * r[1] + v.z * r[2] + v.w * r[3];
                    }
                }
            }
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        if (row + i < rows) {
            let at = panel_index(rows, row + i, column) / 4u;
            dx[at] = inside(left[i], column, params.in_channels);
            dx[at + 1u] = inside(right[i], column + 4u, params.in_channels);
        }
    }
}
