// Functions that the narrow storage formats share. States are rounded stochastically, so that changes smaller than a step of the format still
// count on average. The weight is the sign of the deciding state as stored.
// import: random, half, step

// Returns 16 random bits for each of the columns q * 4 to q * 4 + 3 of word i. All states of a column use the same bits: each stays unbiased. One
// 32-bit random number serves two columns.
fn random_bits(i: u32, q: u32) -> vec4<u32> {
    let key = draws(step.seed, step.step, epilogue.stream);
    return (draw4(key, i * 16u + q % 4u * 4u) >> vec4<u32>(q / 4u * 16u)) & vec4<u32>(0xffffu);
}

fn largest(x: vec4<f32>) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

// Returns the number of values at the limits of the format.
fn at_ends(x: vec4<f32>, most: f32) -> u32 {
    let flags = select(vec4<u32>(0u), vec4<u32>(1u), abs(x) >= vec4<f32>(most));
    return flags.x + flags.y + flags.z + flags.w;
}

fn decision(decided: vec4<f32>, stored: Packed) -> vec4<f32> {
    return stored_value(stored);
}

fn saturated_of(stored: Packed) -> u32 {
    return at_ends(stored_value(stored), MAX_STORED);
}

// Returns false: encoding replaces NaN and infinity by the largest value, which counts as saturated.
fn has_failed(stored: Packed) -> bool {
    return false;
}
