// Memory layouts, and the mapping from an invocation to its element.
// A panel of numbers holds 32 columns: element (row, column) of a matrix of `rows` rows is at ((column / 32) * rows + row) * 32 + column % 32.
// A panel of bits holds 32 rows: word (row, word) of a matrix with `words` words per row is at ((row / 32) * words + word) * 32 + row % 32.

// A folded grid consists of lines. A dispatch covers all lines, or a part of them that starts at `first_line`.
struct GridPart {
    first_line: u32,
}

var<uniform> grid: GridPart;

// Returns the linear index of a workgroup. Grids above 65,535 groups are folded into lines of groups.
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return (grid.first_line + group.y) * groups.x + group.x;
}

// Returns the position of an invocation in a grid whose groups have `height` rows of invocations. More than 65,535 rows of groups are folded into the
// third dimension.
fn folded(id: vec3<u32>, groups: vec3<u32>, height: u32) -> vec2<u32> {
    return vec2<u32>(id.x, (grid.first_line + id.z) * groups.y * height + id.y);
}

fn panel_index(rows: u32, row: u32, column: u32) -> u32 {
    return ((column >> 5u) * rows + row) * 32u + (column & 31u);
}

fn word_index(words: u32, row: u32, word: u32) -> u32 {
    return ((row >> 5u) * words + word) * 32u + (row & 31u);
}

// Returns `columns` rounded up to whole panels.
fn padded(columns: u32) -> u32 {
    return (columns + 31u) / 32u * 32u;
}

// Returns the values of columns `column` to `column + 3`, with tail lanes set to 0.
fn inside(value: vec4<f32>, column: u32, columns: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), value, vec4<u32>(column, column + 1u, column + 2u, column + 3u) < vec4<u32>(columns));
}

// Returns `count` as a loop bound that no driver treats as a constant. Mesa's software Vulkan specialises a shader on the value of a uniform that
// bounds a loop and recompiles it at every dispatch (2.5 ms each; Mesa 22.3 keeps all copies). The minimum with the length of a tensor prevents that.
// `length` must be at least `count`.
fn loop_bound(count: u32, length: u32) -> u32 {
    return min(count, length);
}
