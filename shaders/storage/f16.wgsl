// f16: 16-bit floats of 2^16 times the state.
// bits: 16
// import: narrow, half

alias Packed = vec2<u32>;

const MAX_STORED: f32 = MAX_F16;
// Powers of two are multiplied: division may be off by some last digits.
const SCALE_F16: f32 = 65536.0;
const UNIT_F16: f32 = 0.0000152587890625;

struct Unit {
    none: u32,
}

fn begin_row(state: u32, row: u32, is_first: bool) -> Unit {
    return Unit(0u);
}

fn end_row(unit: Unit, peak: f32) {}

fn stored_value(stored: Packed) -> vec4<f32> {
    return of_halves(unpack16(stored));
}

fn decode(stored: Packed, unit: Unit) -> vec4<f32> {
    return stored_value(stored) * UNIT_F16;
}

fn encode(value: vec4<f32>, unit: Unit, random: vec4<u32>) -> Packed {
    return pack16(to_halves(value * SCALE_F16, random));
}

fn peak_of(stored: Packed) -> f32 {
    return 0.0;
}
