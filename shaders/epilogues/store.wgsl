// store: writes the tile.
// import: tile, index
// per panel: y

var<storage, read_write> y: array<Lane>; // panels [tile_columns/32][tile_rows][32]

fn store(tile: ptr<function, Tile>, m: Matrix, at: At) {
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let to = panel_index(m.rows, at.first.y + r, at.first.x) / 4u;
            y[to] = (*tile)[2u * r];
            y[to + 1u] = (*tile)[2u * r + 1u];
        }
    }
}
