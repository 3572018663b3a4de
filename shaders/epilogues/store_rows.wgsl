// store_rows: writes the tile in padded rows.
// import: tile
// per panel: y

var<storage, read_write> y: array<Lane>; // rows [tile_rows][tile_columns]

fn store_rows(tile: ptr<function, Tile>, m: Matrix, at: At) {
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let to = ((at.first.y + r) * m.columns + at.first.x) / 4u;
            y[to] = (*tile)[2u * r];
            y[to + 1u] = (*tile)[2u * r + 1u];
        }
    }
}
