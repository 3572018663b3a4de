// A tile of an output, which a producer computes and epilogues consume. An invocation has 8 rows by 8 columns, two vec4 per row. The producer
// declares the types `Tile` and `Lane`. Epilogues run in order. Every invocation calls them, also those outside the matrix, because epilogues may
// have barriers.

// Rows and (padded) columns of the matrix, and the number of rows that hold samples.
struct Matrix {
    rows: u32,
    columns: u32,
    valid: u32,
}

// Position of a tile: its first column and row, the invocation's position in the workgroup, and the invocations per row of the workgroup.
struct At {
    first: vec2<u32>,
    local: vec2<u32>,
    pitch: u32,
}

// Returns whether row `r` of the tile is in the matrix.
fn in_matrix(m: Matrix, at: At, r: u32) -> bool {
    return at.first.y + r < m.rows && at.first.x < m.columns;
}
