// numbers: reads the tile of a matrix from memory.
// import: tile, index
// epilogues: threshold+clip_mask
// length tile_rows = rows
// length tile_columns = columns

struct Params {
    rows: u32,
    columns: u32,
    integer: u32, // 1: i32, 0: f32
}

var<storage, read> x: array<vec4<u32>>; // i32 or f32, panels [columns/32][rows][32]

var<uniform> params: Params;

alias Lane = vec4<f32>;
alias Tile = array<vec4<f32>, 16>;

const COLUMNS: u32 = 8u;
const ROWS: u32 = 8u;
const INVOCATIONS: u32 = 64u; // COLUMNS * ROWS
const COVER: vec3<u32> = vec3<u32>(COLUMNS * 8u, ROWS * 8u, 1u);

fn number(word: vec4<u32>) -> vec4<f32> {
    return select(bitcast<vec4<f32>>(word), vec4<f32>(bitcast<vec4<i32>>(word)), params.integer != 0u);
}

// 8 rows by 8 columns per invocation.
@compute @workgroup_size(COLUMNS, ROWS)
fn numbers(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    let m = Matrix(params.rows, padded(params.columns), params.rows);
    let at = At(id * 8u, local.xy, COLUMNS);
    var tile: Tile;
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let first = panel_index(m.rows, at.first.y + r, at.first.x) / 4u;
            tile[2u * r] = number(x[first]);
            tile[2u * r + 1u] = number(x[first + 1u]);
        }
    }
    consume(&tile, m, at);
}
