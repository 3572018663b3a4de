// Convolution of signs by signs: an implicit product, no patches in memory. Groups are whole words and whole panels.
// y(p, o) = sum over taps t and channels c of a(source(p, t), c) * w(t, o, c), exact.
// (Courbariaux et al. 2016, "Binarized Neural Networks", section 1; absent taps as in Rastegari et al. 2016 with zero padding.)
// import: conv, index, bits, epilogue
// pieces: y, partial

@group(0) @binding(0) var<storage, read> a: array<u32>;              // bits of the input, panels [pixels/32][words][32]
@group(0) @binding(1) var<storage, read> w: array<vec4<u32>>;        // as conv_weights packs them
@group(0) @binding(2) var<storage, read> sums: array<vec4<i32>>;     // the same
@group(0) @binding(3) var<storage, read_write> y: array<vec4<i32>>;  // panels [out_channels/32][out pixels][32]
@group(0) @binding(4) var<storage, read_write> partial: array<vec4<f32>>; // statistics of y, [out_channels/32][out pixels/32][2][32]

const COLUMNS: u32 = 8u;
const ROWS: u32 = 4u;
const INVOCATIONS: u32 = 32u; // COLUMNS * ROWS
const COVER: vec3<u32> = vec3<u32>(COLUMNS * 8u, ROWS * 8u, 1u);

// 8 rows by 8 columns of y, two vec4 a row; tail lanes of the last panel are 0.
fn product(row: u32, column: u32, values: ptr<function, array<vec4<i32>, 16>>) {
    let rows = params.batch * params.out_height * params.out_width;
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
        (*values)[2u * r] = select(vec4<i32>(0), left, low < vec4<u32>(params.out_channels));
        (*values)[2u * r + 1u] = select(vec4<i32>(0), right, low + 4u < vec4<u32>(params.out_channels));
        if (row + r < rows) {
            let at = panel_index(rows, row + r, column) / 4u;
            y[at] = (*values)[2u * r];
            y[at + 1u] = (*values)[2u * r + 1u];
        }
    }
}

// An invocation of each entry has 8 rows by 8 columns.
@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    let rows = params.batch * params.out_height * params.out_width;
    var values: array<vec4<i32>, 16>;
    if (id.y * 8u < rows && id.x * 8u < padded(params.out_channels)) {
        product(id.y * 8u, id.x * 8u, &values);
    }
}

// The same, and the statistics of y.
@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits_statistics(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    let rows = params.batch * params.out_height * params.out_width;
    var values: array<vec4<i32>, 16>;
    if (id.y * 8u < rows && id.x * 8u < padded(params.out_channels)) {
        product(id.y * 8u, id.x * 8u, &values);
    }
    let valid = step.valid_rows * params.out_height * params.out_width;
    block_statistics(&values, Matrix(rows, padded(params.out_channels), valid), id * 8u, local.xy, COLUMNS);
}
