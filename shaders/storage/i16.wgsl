// i16: 16-bit integers in the row's unit.
// bits: 16
// import: narrow, row_state, half

alias Packed = vec2<u32>;

const MAX_STORED: f32 = 32767.0;

fn stored_value(stored: Packed) -> vec4<f32> {
    return signed16(stored);
}

fn encode(value: vec4<f32>, unit: Unit, random: vec4<u32>) -> Packed {
    return pack16(bitcast<vec4<u32>>(to_integers(value * unit.inverse, random, MAX_STORED)));
}
