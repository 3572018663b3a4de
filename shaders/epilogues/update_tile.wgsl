// update_tile: applies the epilogue `update` to a tile of gradients, which are never stored. Columns of the tile are columns of the weight
// matrix. Four horizontally adjacent invocations form the words of 32 columns. The producer declares INVOCATIONS, the number of invocations per
// workgroup, and covers multiples of 32 columns per workgroup.
// import: tile, index
// limit: tile_rows <= epilogue.rows
// limit: epilogue.rows <= tile_rows
// limit: tile_columns <= epilogue.words * 32
// limit: epilogue.words * 32 <= tile_columns

// Masks of 8 columns, four per word; index [row of the tile][invocation].
var<workgroup> sh_clear: array<u32, 8u * INVOCATIONS>;
var<workgroup> sh_set: array<u32, 8u * INVOCATIONS>;

fn update_tile(tile: ptr<function, Tile>, m: Matrix, at: At) {
    let local = at.local.y * at.pitch + at.local.x;
    let q = (at.first.x & 31u) >> 2u;
    var running = begin_update();
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let row = at.first.y + r;
            let word = row * epilogue.words + (at.first.x >> 5u);
            begin_update_row(&running, row, at.first.x == 0u);
            var signs = SignUpdate(0u, 0u);
            signs = accumulate(signs, q, update_quad((*tile)[2u * r], word * 8u + q, random_bits(word, q), &running));
            signs = accumulate(signs, q + 1u, update_quad((*tile)[2u * r + 1u], word * 8u + q + 1u, random_bits(word, q + 1u), &running));
            end_update_row(&running);
            sh_clear[r * INVOCATIONS + local] = signs.clear_mask;
            sh_set[r * INVOCATIONS + local] = signs.set_mask;
        }
    }
    end_update(running);
    workgroupBarrier();
    // The invocation of the first columns of a word writes the word, for each of its rows.
    if (q == 0u) {
        for (var r = 0u; r < 8u; r++) { // unroll
            if (in_matrix(m, at, r)) {
                let first = r * INVOCATIONS + local;
                let clear_mask = sh_clear[first] | sh_clear[first + 1u] | sh_clear[first + 2u] | sh_clear[first + 3u];
                let set_mask = sh_set[first] | sh_set[first + 1u] | sh_set[first + 2u] | sh_set[first + 3u];
                commit_word((at.first.y + r) * epilogue.words + (at.first.x >> 5u), SignUpdate(clear_mask, set_mask));
            }
        }
    }
}
