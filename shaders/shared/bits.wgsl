// Signs packed into words: 32 per word, least significant bit first; bit 1 = +1, bit 0 = -1; tail bits are 0.

// Returns the mask of the bits that hold columns, for a word that starts at column `first` of `columns`.
fn tail_mask(columns: u32, first: u32) -> u32 {
    let left = select(0u, columns - first, columns > first);
    return select((1u << (left & 31u)) - 1u, 0xffffffffu, left >= 32u);
}

// Returns whether a number is finite. It tests the bits, because fast-math compilers compare NaN like any number.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// Returns the signs of four columns as floats: those of bits `at` to `at + 3` of a word.
fn signs_of(word: u32, at: u32) -> vec4<f32> {
    let shifted = vec4<u32>(word >> at) >> vec4<u32>(0u, 1u, 2u, 3u);
    return bitcast<vec4<f32>>(vec4<u32>(0xbf800000u) ^ ((shifted & vec4<u32>(1u)) << vec4<u32>(31u)));
}

// Returns each of four values whose bit, `at` to `at + 3` of a word, is 1; 0 for the others.
fn where_set(value: vec4<f32>, word: u32, at: u32) -> vec4<f32> {
    let shifted = vec4<u32>(word >> at) >> vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(0.0), value, (shifted & vec4<u32>(1u)) == vec4<u32>(1u));
}
