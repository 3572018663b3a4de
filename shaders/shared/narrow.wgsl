// What narrow states have in common: they are rounded to one of two neighbours at random, the nearer the likelier, so that what is smaller than a step
// of the format still counts on average; and the weight is the sign of the deciding state as it is stored.
// import: random, half, step

// 16 bits each that all states of columns q * 4 to q * 4 + 3 of word i are rounded by: each is right on average, and one number serves two columns.
fn random_bits(i: u32, q: u32) -> vec4<u32> {
    let key = draws(step.seed, step.step, params.stream);
    return (draw4(key, i * 16u + q % 4u * 4u) >> vec4<u32>(q / 4u * 16u)) & vec4<u32>(0xffffu);
}

fn largest(x: vec4<f32>) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

// How many are at the ends of what the format holds.
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

// What is not finite becomes the largest, and is counted as saturated.
fn has_failed(stored: Packed) -> bool {
    return false;
}
