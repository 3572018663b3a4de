// Counter-based random numbers for kernels: a hash of (seed, step, stream, index), bit for bit the same as `tensor::Draws` in Rust. WGSL has
// no 64-bit integers, so this is not the generator of `tensor::Stream`. An invocation computes a key once; each number costs two multiplications.

// Hashes a word: a bijection of 32-bit words with good avalanche ("lowbias32" of Wellons' hash prospector).
fn mix32(word: u32) -> u32 {
    var x = word;
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u)) * 0x846ca68bu;
    return x ^ (x >> 16u);
}

// Returns the key of a stream at a step. The host hashes the stream from a name.
fn draws(seed: u32, step: u32, stream: u32) -> vec2<u32> {
    let first = mix32(mix32(mix32(seed + 0x9e3779b9u) ^ step) ^ stream);
    return vec2<u32>(first, mix32(first + 0x85ebca6bu));
}

// Returns number `index` of a key, 32 uniform bits.
fn draw(key: vec2<u32>, index: u32) -> u32 {
    var x = index ^ key.x;
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u) ^ key.y) * 0x846ca68bu;
    return x ^ (x >> 16u);
}

// Returns numbers `index` to `index + 3` of a key.
fn draw4(key: vec2<u32>, index: u32) -> vec4<u32> {
    return vec4<u32>(draw(key, index), draw(key, index + 1u), draw(key, index + 2u), draw(key, index + 3u));
}
