// f32: states as they are. The weight is the sign of the rule's decision.
// bits: 32
// import: bits

alias Packed = vec4<f32>;

struct Unit {
    none: u32,
}

fn begin_row(state: u32, row: u32, is_first: bool) -> Unit {
    return Unit(0u);
}

fn end_row(unit: Unit, peak: f32) {}

fn decode(stored: Packed, unit: Unit) -> vec4<f32> {
    return stored;
}

fn encode(value: vec4<f32>, unit: Unit, random: vec4<u32>) -> Packed {
    return value;
}

fn decision(decided: vec4<f32>, stored: Packed) -> vec4<f32> {
    return decided;
}

fn random_bits(i: u32, q: u32) -> vec4<u32> {
    return vec4<u32>(0u);
}

fn peak_of(stored: Packed) -> f32 {
    return 0.0;
}

fn saturated_of(stored: Packed) -> u32 {
    return 0u;
}

fn has_failed(stored: Packed) -> bool {
    return !all(vec4<bool>(is_finite(stored.x), is_finite(stored.y), is_finite(stored.z), is_finite(stored.w)));
}
