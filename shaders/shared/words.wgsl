// Words of bits from tiles: each of four horizontally adjacent invocations has 8 of a word's 32 columns. The producer declares INVOCATIONS, the
// maximum number of invocations per workgroup.
// import: tile

// Bits of 8 columns; index [row of the tile][invocation].
var<workgroup> sh_bits: array<u32, 8u * INVOCATIONS>;

// Joins the bits of each row of the tile, low bits first. The invocation of a word's first columns receives the word. Every invocation must call it.
fn join_words(bits: ptr<function, array<u32, 8>>, at: At) {
    let local = at.local.y * at.pitch + at.local.x;
    workgroupBarrier();
    for (var r = 0u; r < 8u; r++) { // unroll
        sh_bits[r * INVOCATIONS + local] = (*bits)[r] << (at.first.x & 31u);
    }
    workgroupBarrier();
    if ((at.first.x & 31u) == 0u) {
        for (var r = 0u; r < 8u; r++) { // unroll
            let first = r * INVOCATIONS + local;
            (*bits)[r] = sh_bits[first] | sh_bits[first + 1u] | sh_bits[first + 2u] | sh_bits[first + 3u];
        }
    }
}

// Returns whether the invocation writes the word of row `r` of its tile, in a matrix whose rows are padded to whole panels.
fn has_word(m: Matrix, at: At, r: u32) -> bool {
    return (at.first.x & 31u) == 0u && at.first.x < m.columns && at.first.y + r < (m.rows + 31u) / 32u * 32u;
}
