// store_chosen: writes the taps of a max pool's maxima.
// import: tile, index
// per panel: chosen

var<storage, read_write> chosen: array<u32>; // bytes, four to a word, [tile_columns/32][tile_rows][32] of 8 bits

fn store_chosen(tile: ptr<function, Tile>, m: Matrix, at: At) {
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let to = panel_index(m.rows, at.first.y + r, at.first.x) / 4u;
            chosen[to] = taps_of_tile[2u * r];
            chosen[to + 1u] = taps_of_tile[2u * r + 1u];
        }
    }
}
