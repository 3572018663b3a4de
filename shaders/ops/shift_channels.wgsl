// shift_channels: y[r][c] = x[r][c + offset], 0 where x has no such column. It slices channels, zero-pads them, and offsets the operands of a
// concatenation (the sum of shifted parts).
// import: index
// per panel: y

struct Params {
    rows: u32,
    x_columns: u32,
    y_columns: u32,
    offset: i32,
}

var<storage, read> x: array<f32>; // [x_columns/32][rows][32]
var<storage, read_write> y: array<f32>; // [y_columns/32][rows][32]

// limit: 0 < rows
var<uniform> params: Params;

const THREADS: u32 = 64u;

// One element of the panels per invocation, including tail lanes, which become 0.
@compute @workgroup_size(THREADS)
fn shift_channels(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&y)) {
        return;
    }
    let row = (i >> 5u) % params.rows;
    let column = (i >> 5u) / params.rows * 32u + (i & 31u);
    let at = i32(column) + params.offset;
    let inside = at >= 0 && at < i32(params.x_columns) && column < params.y_columns;
    var value = 0.0;
    if (inside) {
        value = x[panel_index(params.rows, row, u32(at))];
    }
    y[i] = value;
}
