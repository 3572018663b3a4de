// Values of 16 and of 8 bits in words: two or four per word, low bits first.

const MAX_F16: f32 = 65504.0;

// Decodes 16-bit floats, bit for bit as `half_value` of src/tensor/half.rs. It uses integer arithmetic, because adapters decode and round packed
// floats differently.
fn of_halves(half: vec4<u32>) -> vec4<f32> {
    let size = half & vec4<u32>(0x7fffu);
    let normal = (size << vec4<u32>(13u)) + vec4<u32>(112u << 23u);
    let small = bitcast<vec4<u32>>(vec4<f32>(size) * 5.9604644775390625e-8);
    return bitcast<vec4<f32>>(select(small, normal, size >= vec4<u32>(0x400u)) | ((half & vec4<u32>(0x8000u)) << vec4<u32>(16u)));
}

// Returns the four 16-bit halves of two words.
fn unpack16(w: vec2<u32>) -> vec4<u32> {
    return vec4<u32>(w.x, w.x >> 16u, w.y, w.y >> 16u) & vec4<u32>(0xffffu);
}

// Decodes the four signed 16-bit integers of two words.
fn signed16(w: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(unpack16(w) << vec4<u32>(16u)) >> vec4<u32>(16u));
}

// Decodes the four signed 8-bit integers of one word.
fn signed8(w: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(w << 24u, w << 16u, w << 8u, w)) >> vec4<u32>(24u));
}

// Encodes 16-bit floats, bit for bit as `half_rounded`: stochastic rounding to one of the two neighbours by the upper 13 of 16 random bits.
fn to_halves(x: vec4<f32>, random: vec4<u32>) -> vec4<u32> {
    let low = random >> vec4<u32>(3u);
    let size = min(bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu), vec4<u32>(bitcast<u32>(MAX_F16)));
    let normal = ((size + low) >> vec4<u32>(13u)) - vec4<u32>(112u << 10u);
    let small = vec4<u32>(bitcast<vec4<f32>>(min(size, vec4<u32>(0x38800000u))) * 16777216.0 + vec4<f32>(low) * 0.0001220703125);
    return select(small, normal, size >= vec4<u32>(0x38800000u)) | ((bitcast<vec4<u32>>(x) >> vec4<u32>(16u)) & vec4<u32>(0x8000u));
}

// Rounds stochastically to integers in fixed point with steps of 1/65536. NaN becomes the largest value; it is detected by its bits, because adapters
// may convert NaN to any integer.
fn to_integers(x: vec4<f32>, random: vec4<u32>, most: f32) -> vec4<i32> {
    let end = vec4<f32>(65536.0 * most);
    let is_nan = (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    let steps = vec4<i32>(select(clamp(x * 65536.0, -end, end), end, is_nan));
    return (steps + vec4<i32>(random)) >> vec4<u32>(16u);
}

// Packs four 16-bit values into two words.
fn pack16(q: vec4<u32>) -> vec2<u32> {
    let low = q & vec4<u32>(0xffffu);
    return vec2<u32>(low.x | (low.y << 16u), low.z | (low.w << 16u));
}

// Packs the low bytes of four integers into one word.
fn pack8(q: vec4<i32>) -> u32 {
    let bytes = bitcast<vec4<u32>>(q) & vec4<u32>(0xffu);
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}
