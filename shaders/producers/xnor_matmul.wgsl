// xnor_matmul: y[r][c] = sum_k a[r][k] * w[c][k] over signs packed into words = depth - 2 * popcount(a ^ w), exact.
// (Courbariaux et al. 2016, "Binarized Neural Networks", section 4; Rastegari et al. 2016, "XNOR-Net".)
// import: tile, index, step
// epilogues: store, store+statistics, threshold, join_dropped
// length tile_rows = rows
// length tile_columns = columns

struct Params {
    rows: u32,    // of a, the batch
    columns: u32, // of y: rows of w
    depth: u32,   // signs per row of a and of w
    words: u32,   // words per row: ceil(depth / 32)
}

var<storage, read> a: array<vec4<u32>>; // bits, panels [rows/32][words][32]
var<storage, read> w: array<vec4<u32>>; // bits, panels [columns/32][words][32]

var<uniform> params: Params;

alias Lane = vec4<i32>;
alias Tile = array<vec4<i32>, 16>;

// Registers only: 8 rows by 8 columns per invocation; neighbouring invocations share loads through the cache. Preferred on software adapters, and
// for small products, which it spreads over many workgroups.
const COLUMNS: u32 = 8u;
const ROWS: u32 = 4u;
const COVER_xnor_matmul: vec3<u32> = vec3<u32>(COLUMNS * 8u, ROWS * 8u, 1u);

// Workgroup memory: SIDE x SIDE invocations of 8 rows by 8 columns share tiles of DEPTH words.
const SIDE: u32 = 16u; // tunable S=8 M=16
const DEPTH: u32 = 8u;
const COVER_xnor_matmul_tiled: vec3<u32> = vec3<u32>(SIDE * 8u, SIDE * 8u, 1u);
const TILE: u32 = SIDE * 2u * DEPTH; // vec4 per tile: SIDE/4 panels, DEPTH words, 8 vec4
const LOADS: u32 = 2u * DEPTH / SIDE; // per invocation and operand
const INVOCATIONS: u32 = SIDE * SIDE; // at least COLUMNS * ROWS

var<workgroup> sh_a: array<vec4<u32>, TILE>;
var<workgroup> sh_w: array<vec4<u32>, TILE>;

// Converts counts to the tile; tail lanes of the last panel become 0.
fn finish(counts: ptr<function, array<vec4<u32>, 16>>, column: u32, tile: ptr<function, Tile>) {
    let depth = vec4<i32>(i32(params.depth));
    let low = vec4<u32>(column, column + 1u, column + 2u, column + 3u);
    for (var r = 0u; r < 8u; r++) { // unroll
        let left = depth - 2 * vec4<i32>((*counts)[2u * r]);
        let right = depth - 2 * vec4<i32>((*counts)[2u * r + 1u]);
        (*tile)[2u * r] = select(vec4<i32>(0), left, low < vec4<u32>(params.columns));
        (*tile)[2u * r + 1u] = select(vec4<i32>(0), right, low + 4u < vec4<u32>(params.columns));
    }
}

fn matrix() -> Matrix {
    return Matrix(params.rows, padded(params.columns), step.valid_rows);
}

fn product(at: vec2<u32>, tile: ptr<function, Tile>) {
    if (at.y >= params.rows || at.x >= padded(params.columns)) {
        return;
    }
    var counts: array<vec4<u32>, 16>;
    var at_a = (at.y >> 5u) * params.words * 8u + ((at.y & 31u) >> 2u);
    var at_w = (at.x >> 5u) * params.words * 8u + ((at.x & 31u) >> 2u);
    let words = loop_bound(params.words, arrayLength(&a));
    for (var k = 0u; k < words; k++) {
        let a0 = a[at_a];
        let a1 = a[at_a + 1u];
        let w0 = w[at_w];
        let w1 = w[at_w + 1u];
        for (var r = 0u; r < 4u; r++) { // unroll
            counts[2u * r] += countOneBits(vec4<u32>(a0[r]) ^ w0);
            counts[2u * r + 1u] += countOneBits(vec4<u32>(a0[r]) ^ w1);
            counts[2u * r + 8u] += countOneBits(vec4<u32>(a1[r]) ^ w0);
            counts[2u * r + 9u] += countOneBits(vec4<u32>(a1[r]) ^ w1);
        }
        at_a += 8u;
        at_w += 8u;
    }
    finish(&counts, at.x, tile);
}

@compute @workgroup_size(COLUMNS, ROWS)
fn xnor_matmul(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    var tile: Tile;
    product(id.xy * 8u, &tile);
    consume(&tile, matrix(), At(id.xy * 8u, local.xy, COLUMNS));
}

fn tiled_product(group: vec2<u32>, local: vec2<u32>, tile: ptr<function, Tile>) {
    let words = loop_bound(params.words, arrayLength(&a));
    let row_panels = (params.rows + 31u) / 32u;
    let column_panels = (params.columns + 31u) / 32u;
    let first_row_panel = group.y * (SIDE / 4u);
    let first_column_panel = group.x * (SIDE / 4u);
    let lane = local.y * SIDE + local.x;
    var counts: array<vec4<u32>, 16>;
    for (var first = 0u; first < words; first += DEPTH) {
        for (var i = 0u; i < LOADS; i++) { // unroll
            let v = lane + i * (SIDE * SIDE);
            let panel = v / (DEPTH * 8u);
            let word = first + (v / 8u) % DEPTH;
            let quad = v % 8u;
            let row_panel = first_row_panel + panel;
            let column_panel = first_column_panel + panel;
            // Beyond the operands both tiles hold 0, and popcount(0 ^ 0) = 0.
            var from_a = vec4<u32>(0u);
            var from_w = vec4<u32>(0u);
            if (word < words && row_panel < row_panels) {
                from_a = a[(row_panel * words + word) * 8u + quad];
            }
            if (word < words && column_panel < column_panels) {
                from_w = w[(column_panel * words + word) * 8u + quad];
            }
            sh_a[v] = from_a;
            sh_w[v] = from_w;
        }
        workgroupBarrier();
        let at_a = (local.y / 4u) * DEPTH * 8u + (local.y % 4u) * 2u;
        let at_w = (local.x / 4u) * DEPTH * 8u + (local.x % 4u) * 2u;
        for (var k = 0u; k < DEPTH; k++) {
            let a0 = sh_a[at_a + k * 8u];
            let a1 = sh_a[at_a + k * 8u + 1u];
            let w0 = sh_w[at_w + k * 8u];
            let w1 = sh_w[at_w + k * 8u + 1u];
            for (var r = 0u; r < 4u; r++) { // unroll
                counts[2u * r] += countOneBits(vec4<u32>(a0[r]) ^ w0);
                counts[2u * r + 1u] += countOneBits(vec4<u32>(a0[r]) ^ w1);
                counts[2u * r + 8u] += countOneBits(vec4<u32>(a1[r]) ^ w0);
                counts[2u * r + 9u] += countOneBits(vec4<u32>(a1[r]) ^ w1);
            }
        }
        workgroupBarrier();
    }
    finish(&counts, (group.x * SIDE + local.x) * 8u, tile);
}

@compute @workgroup_size(SIDE, SIDE)
fn xnor_matmul_tiled(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    var tile: Tile;
    tiled_product(group.xy, local.xy, &tile);
    consume(&tile, matrix(), At((group.xy * SIDE + local.xy) * 8u, local.xy, SIDE));
}
