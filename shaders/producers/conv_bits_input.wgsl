// Input gradient of a convolution of signs by signs, as an implicit GEMM (see conv_bits.wgsl).
// conv_bits_input:        dx(p, c) = sum over taps t and outputs o of dy(sink(p, t), o) * w(t, o, c).
// import: conv, tile, index, bits
// limit: 0 < words
// limit: in_channels/groups <= words * 32
// limit: groups * words <= in_channels/32
// limit: groups <= out_channels/32
// limit: out_channels/32/groups * groups <= out_channels/32
// epilogues: store, mask+store, mask+add+store
// length tile_rows = in_pixels
// length tile_columns = in_channels

var<storage, read> dy: array<vec4<f32>>; // panels [out_channels/32][out_pixels][32]
var<storage, read> weight: array<u32>;   // as conv_weights packs them, word by word, [out_channels/32][taps][words][32]

alias Lane = vec4<f32>;
alias Tile = array<vec4<f32>, 16>;

const COLUMNS: u32 = 8u;
const ROWS: u32 = 4u;
const COVER: vec3<u32> = vec3<u32>(COLUMNS * 8u, ROWS * 8u, 1u);

fn in_rows() -> u32 {
    return params.batch * params.in_height * params.in_width;
}

fn product(row: u32, column: u32, sums: ptr<function, Tile>) {
    let rows = in_rows();
    let out_rows = params.batch * params.out_height * params.out_width;
    let panels = loop_bound(padded(params.out_channels) / params.groups / 32u, arrayLength(&weight));
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&weight));
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&weight));
    let first_panel = (column >> 5u) / params.words * panels;
    let word = (column >> 5u) % params.words;
    let shift = column & 31u;
    var places: array<Pixel, 8>;
    for (var r = 0u; r < 8u; r++) { // unroll
        places[r] = in_place(min(row + r, rows - 1u));
    }
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
                        (*sums)[2u * i] += v.x * l[0] + v.y * l[1] + v.z * l[2] + v.w * l[3];
                        (*sums)[2u * i + 1u] += v.x * r[0] + v.y * r[1] + v.z * r[2] + v.w * r[3];
                    }
                }
            }
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        (*sums)[2u * i] = inside((*sums)[2u * i], column, params.in_channels);
        (*sums)[2u * i + 1u] = inside((*sums)[2u * i + 1u], column + 4u, params.in_channels);
    }
}

// 8 rows by 8 columns per invocation.
@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits_input(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    let m = Matrix(in_rows(), padded(params.in_channels), in_rows());
    var tile: Tile;
    if (id.y * 8u < m.rows && id.x * 8u < m.columns) {
        product(id.y * 8u, id.x * 8u, &tile);
    }
    consume(&tile, m, At(id * 8u, local.xy, COLUMNS));
}
