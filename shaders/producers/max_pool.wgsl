// max_pool of integers for epilogues on tiles; 8 pixels by 8 channels per invocation.
// import: max_pool, conv, tile, index, step
// limit: out_channels <= in_channels
// limit: in_channels <= out_channels
// epilogues: store+store_chosen+statistics, threshold
// length tile_rows = out_pixels
// length tile_columns = out_channels


alias Lane = vec4<i32>;
alias Tile = array<vec4<i32>, 16>;

// Taps of the maxima, four to a word; index as in the tile.
var<private> taps_of_tile: array<u32, 16>;

const INVOCATIONS: u32 = 64u; // 4 x 8 channels by 16 x 8 pixels
const COVER: vec3<u32> = vec3<u32>(32u, 128u, 1u);

@compute @workgroup_size(4, 16)
fn max_pool(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let id = folded(invocation, groups, 16u);
    let pixels = params.out_height * params.out_width;
    let m = Matrix(params.batch * pixels, padded(params.out_channels), step.valid_rows * pixels);
    var tile: Tile;
    for (var r = 0u; r < 16u; r++) {
        let row = id.y * 8u + r / 2u;
        if (row < m.rows && id.x * 8u < m.columns) {
            let best = largest(((id.x >> 2u) * m.rows + row) * 8u + (id.x & 3u) * 2u + (r & 1u));
            tile[r] = bitcast<vec4<i32>>(vec4<u32>(x[best.at.x], x[best.at.y], x[best.at.z], x[best.at.w]));
            taps_of_tile[r] = best.taps;
        }
    }
    consume(&tile, m, At(id.xy * 8u, local.xy, 4u));
}
