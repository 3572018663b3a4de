// Signs packed into words: 32 to a word, least significant bit first, bit 1 = +1, bit 0 = -1, tail bits 0.

// Bits of a word that hold columns, when the word starts at column `first` of `columns`.
fn tail_mask(columns: u32, first: u32) -> u32 {
    let left = select(0u, columns - first, columns > first);
    return select((1u << (left & 31u)) - 1u, 0xffffffffu, left >= 32u);
}

// Not-a-number compares like any number under fast-math compilers: only the bits tell.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// Signs of four columns, from bit `at` of a word.
fn signs_of(word: u32, at: u32) -> vec4<f32> {
    let shifted = vec4<u32>(word >> at) >> vec4<u32>(0u, 1u, 2u, 3u);
    return bitcast<vec4<f32>>(vec4<u32>(0xbf800000u) ^ ((shifted & vec4<u32>(1u)) << vec4<u32>(31u)));
}

// Four columns where the bits from `at` on are set, 0 elsewhere.
fn where_set(value: vec4<f32>, word: u32, at: u32) -> vec4<f32> {
    let shifted = vec4<u32>(word >> at) >> vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(0.0), value, (shifted & vec4<u32>(1u)) == vec4<u32>(1u));
}
