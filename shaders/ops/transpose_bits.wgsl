// transpose_bits: y(c, r) = x(r, c) on packed bits, so that a product can read a matrix packed along its other axis.
// In panels a 32 x 32 tile of bits is 32 contiguous words, in x and in y: the transpose moves whole tiles.
// import: index

struct Params {
    row_panels: u32, // of x: ceil(rows / 32); also the words per row of y
    words: u32,      // per row of x: ceil(columns / 32); also the panels of y
}

var<storage, read> x: array<u32>; // panels [row_panels][words][32]
var<storage, read_write> y: array<u32>; // panels [words][row_panels][32]

var<uniform> params: Params;

// One tile per workgroup.
const COVER: vec3<u32> = vec3<u32>(1u, 1u, 1u);

@compute @workgroup_size(32)
fn transpose_bits(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = linear_group(group, groups);
    if (tile >= params.row_panels * params.words) {
        return;
    }
    let row_panel = tile % params.row_panels;
    let word = tile / params.row_panels;
    let first = (row_panel * params.words + word) * 32u;
    var bits = 0u;
    for (var r = 0u; r < 32u; r++) { // unroll
        bits |= ((x[first + r] >> lane) & 1u) << r;
    }
    y[tile * 32u + lane] = bits;
}
