// Convolution of signs by signs as an implicit GEMM, without an im2col buffer. Groups consist of whole words and whole panels.
// y(p, o) = sum over taps t and channels c of a(source(p, t), c) * w(t, o, c), exact.
// (Courbariaux et al. 2016, "Binarized Neural Networks", section 1; without `pad_one`, absent taps contribute 0 as in Rastegari et al. 2016.)
// import: conv, tile, index, bits, step
// limit: 0 < words
// limit: in_channels/groups <= words * 32
// limit: groups * words <= in_channels/32
// limit: groups <= out_channels/32
// limit: out_channels/32/groups * groups <= out_channels/32
// epilogues: store, store+statistics, threshold, join_dropped
// length tile_rows = out_pixels
// length tile_columns = out_channels

var<storage, read> a: array<u32>;          // bits of the input, panels [in_pixels/32][in_channels/32][32]
var<storage, read> w: array<vec4<u32>>;    // as conv_weights packs them, [out_channels/32][taps][words][32]
var<storage, read> sums: array<vec4<i32>>; // as conv_weights sums them, [out_channels/32][taps][32]

alias Lane = vec4<i32>;
alias Tile = array<vec4<i32>, 16>;

const COLUMNS: u32 = 8u;
const ROWS: u32 = 4u;
const INVOCATIONS: u32 = 32u; // COLUMNS * ROWS
const COVER: vec3<u32> = vec3<u32>(COLUMNS * 8u, ROWS * 8u, 1u);

// Tail lanes of the last panel become 0.
fn product(row: u32, column: u32, tile: ptr<function, Tile>) {
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
    var places: array<Pixel, 8>;
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
        (*tile)[2u * r] = select(vec4<i32>(0), left, low < vec4<u32>(params.out_channels));
        (*tile)[2u * r + 1u] = select(vec4<i32>(0), right, low + 4u < vec4<u32>(params.out_channels));
    }
}

// 8 rows by 8 columns per invocation.
@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    let pixels = params.out_height * params.out_width;
    let m = Matrix(params.batch * pixels, padded(params.out_channels), step.valid_rows * pixels);
    var tile: Tile;
    if (id.y * 8u < m.rows && id.x * 8u < m.columns) {
        product(id.y * 8u, id.x * 8u, &tile);
    }
    consume(&tile, m, At(id * 8u, local.xy, COLUMNS));
}
