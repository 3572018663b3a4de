// update_tile: applies the epilogue `update` to a tile of gradients, so that they need not be stored. Columns of the tile are columns of the weight
// matrix. Gradients pass through workgroup memory, so that neighbouring invocations read and write neighbouring states. The producer declares
// INVOCATIONS, the number of invocations per workgroup, and covers multiples of 32 columns per workgroup.
// import: tile
// limit: tile_rows <= epilogue.rows
// limit: epilogue.rows <= tile_rows
// limit: tile_columns <= epilogue.words * 32
// limit: epilogue.words * 32 <= tile_columns

const PASSES: u32 = 2u; // over halves of each tile's rows, which halves the workgroup memory
const PASS: u32 = 4u; // rows of a tile per pass
const QUADS: u32 = 8u; // of four columns, per invocation and pass

// Index [row of the pass][quad] in the workgroup's part of the matrix.
var<workgroup> sh_gradient: array<vec4<f32>, QUADS * INVOCATIONS>;
var<workgroup> sh_signs: array<SignUpdate, QUADS * INVOCATIONS>;

// Row of the matrix and quad of columns of item `i` of pass `part`. The workgroup's part begins at `first`; a row of it has `quads` quads.
fn item(i: u32, part: u32, first: vec2<u32>, quads: u32) -> vec2<u32> {
    let row = i / quads;
    return first + vec2<u32>(i % quads, row / PASS * 8u + part * PASS + row % PASS);
}

fn update_tile(tile: ptr<function, Tile>, m: Matrix, at: At) {
    let local = at.local.y * at.pitch + at.local.x;
    let quads = at.pitch * 2u;
    let first = vec2<u32>((at.first.x - at.local.x * 8u) / 4u, at.first.y - at.local.y * 8u);
    var running = begin_update();
    for (var part = 0u; part < PASSES; part++) { // unroll
        for (var r = 0u; r < PASS; r++) { // unroll
            let to = (at.local.y * PASS + r) * quads + at.local.x * 2u;
            sh_gradient[to] = (*tile)[2u * (part * PASS + r)];
            sh_gradient[to + 1u] = (*tile)[2u * (part * PASS + r) + 1u];
        }
        workgroupBarrier();
        for (var k = 0u; k < QUADS; k++) {
            let i = k * INVOCATIONS + local;
            let place = item(i, part, first, quads);
            var signs = SignUpdate(0u, 0u);
            if (place.y < m.rows && place.x * 4u < m.columns) {
                let word = place.y * epilogue.words + place.x / 8u;
                let q = place.x % 8u;
                begin_update_row(&running, place.y, place.x == 0u);
                signs = accumulate(signs, q, update_quad(sh_gradient[i], word * 8u + q, random_bits(word, q), &running));
                end_update_row(&running);
            }
            sh_signs[i] = signs;
        }
        workgroupBarrier();
        // Eight quads form a word.
        let i = local * 8u;
        let place = item(i, part, first, quads);
        if (place.y < m.rows && place.x * 4u < m.columns) {
            var signs = sh_signs[i];
            for (var q = 1u; q < 8u; q++) { // unroll
                signs.clear_mask |= sh_signs[i + q].clear_mask;
                signs.set_mask |= sh_signs[i + q].set_mask;
            }
            commit_word(place.y * epilogue.words + place.x / 8u, signs);
        }
        workgroupBarrier();
    }
    end_update(running);
}
