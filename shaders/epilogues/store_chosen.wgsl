// store_chosen: writes the taps of a max pool's maxima to the producer's binding `chosen`.
// import: tile, index

fn store_chosen(tile: ptr<function, Tile>, m: Matrix, at: At) {
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let to = panel_index(m.rows, at.first.y + r, at.first.x) / 4u;
            chosen[to] = taps_of_tile[2u * r];
            chosen[to + 1u] = taps_of_tile[2u * r + 1u];
        }
    }
}
