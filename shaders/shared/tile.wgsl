// A tile of an output, as a producer makes it and epilogues consume it: an invocation has 8 rows by 8 columns, two vec4 a row, in `Tile`, whose lanes
// are `Lane`; the producer says what they are. Epilogues run one behind the other, and every invocation calls them, with or without a part of the matrix.

// Rows and (padded) columns of the matrix, and how many of the rows hold samples.
struct Matrix {
    rows: u32,
    columns: u32,
    valid: u32,
}

// Where an invocation's tile is: its first column and row, the invocation's place in the workgroup, and invocations in a row of the workgroup.
struct At {
    first: vec2<u32>,
    local: vec2<u32>,
    pitch: u32,
}

// Whether row `r` of the tile is in the matrix.
fn in_matrix(m: Matrix, at: At, r: u32) -> bool {
    return at.first.y + r < m.rows && at.first.x < m.columns;
}
