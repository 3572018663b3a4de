// Numbers of 16 and of 8 bits in words, two or four to a word, low bits first.

// 16-bit floats as `half_value` of src/tensor/half.rs has them. By integers: adapters read and round packed ones as they like.
fn of_halves(half: vec4<u32>) -> vec4<f32> {
    let size = half & vec4<u32>(0x7fffu);
    let normal = (size << vec4<u32>(13u)) + vec4<u32>(112u << 23u);
    let small = bitcast<vec4<u32>>(vec4<f32>(size) * 5.9604644775390625e-8);
    return bitcast<vec4<f32>>(select(small, normal, size >= vec4<u32>(0x400u)) | ((half & vec4<u32>(0x8000u)) << vec4<u32>(16u)));
}

// Four 16-bit words of two.
fn unpack16(w: vec2<u32>) -> vec4<u32> {
    return vec4<u32>(w.x, w.x >> 16u, w.y, w.y >> 16u) & vec4<u32>(0xffffu);
}

// Four signed integers of two words, or of one.
fn signed16(w: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(unpack16(w) << vec4<u32>(16u)) >> vec4<u32>(16u));
}

fn signed8(w: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(w << 24u, w << 16u, w << 8u, w)) >> vec4<u32>(24u));
}
