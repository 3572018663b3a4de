// store_rows: writes the tile to the producer's binding `y` in padded rows.
// import: tile, index

fn store_rows(tile: ptr<function, Tile>, m: Matrix, at: At) {
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let to = ((at.first.y + r) * m.columns + at.first.x) / 4u;
            y[to] = (*tile)[2u * r];
            y[to + 1u] = (*tile)[2u * r + 1u];
        }
    }
}
