// Where elements lie, and which of them an invocation has.
// Panels hold 32 columns: element (row, column) of a matrix of `rows` rows is at ((column / 32) * rows + row) * 32 + column % 32.
// Bits: word (row, word) of a matrix of `words` words a row is at ((row / 32) * words + word) * 32 + row % 32.

// A folded grid is a number of lines; a dispatch has all of them, or a part that begins at a line of its own.
struct GridPart {
    first_line: u32,
}

var<uniform> grid: GridPart;

// Grids above 65,535 groups are folded into lines of groups: this is their linear index again.
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return (grid.first_line + group.y) * groups.x + group.x;
}

// Rows of groups above 65,535 are folded into lines in the third dimension: an invocation's place in a grid whose groups have `height` rows of them.
fn folded(id: vec3<u32>, groups: vec3<u32>, height: u32) -> vec2<u32> {
    return vec2<u32>(id.x, (grid.first_line + id.z) * groups.y * height + id.y);
}

fn panel_index(rows: u32, row: u32, column: u32) -> u32 {
    return ((column >> 5u) * rows + row) * 32u + (column & 31u);
}

fn word_index(words: u32, row: u32, word: u32) -> u32 {
    return ((row >> 5u) * words + word) * 32u + (row & 31u);
}

// Columns of whole panels.
fn padded(columns: u32) -> u32 {
    return (columns + 31u) / 32u * 32u;
}

// Four columns from `column` on; 0 for tail lanes.
fn inside(value: vec4<f32>, column: u32, columns: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), value, vec4<u32>(column, column + 1u, column + 2u, column + 3u) < vec4<u32>(columns));
}

// A loop's bound that no driver takes for a constant. Mesa's software Vulkan puts the value of a uniform that bounds a loop into the
// shader's text and compiles it anew at every dispatch (2.5 ms each, and 22.3 keeps all copies); the length of a tensor stops that.
// `length` is never below `count`.
fn loop_bound(count: u32, length: u32) -> u32 {
    return min(count, length);
}
