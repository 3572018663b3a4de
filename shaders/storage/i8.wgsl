// i8: 8-bit integers in the row's unit.
// bits: 8
// import: narrow, row_state, half

alias Packed = u32;

const MAX_STORED: f32 = 127.0;

fn stored_value(stored: Packed) -> vec4<f32> {
    return signed8(stored);
}

fn encode(value: vec4<f32>, unit: Unit, random: vec4<u32>) -> Packed {
    return pack8(to_integers(value * unit.inverse, random, MAX_STORED));
}
