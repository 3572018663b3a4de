// add: the gradient that another reader of the same value gives it is added to the tile.
// import: tile, index

var<storage, read> other: array<vec4<f32>>; // panels [tile_columns/32][tile_rows][32]

fn add(tile: ptr<function, Tile>, m: Matrix, at: At) {
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let at_other = panel_index(m.rows, at.first.y + r, at.first.x) / 4u;
            (*tile)[2u * r] += other[at_other];
            (*tile)[2u * r + 1u] += other[at_other + 1u];
        }
    }
}
