// store: writes the tile to the producer's binding `y`.
// import: tile, index

fn store(tile: ptr<function, Tile>, m: Matrix, at: At) {
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let to = panel_index(m.rows, at.first.y + r, at.first.x) / 4u;
            y[to] = (*tile)[2u * r];
            y[to + 1u] = (*tile)[2u * r + 1u];
        }
    }
}
