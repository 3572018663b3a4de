// state_magnitudes: exponent histogram (shaders/shared/exponent_histogram.wgsl) of the values whose signs are the weights, if they are not stored as
// a tensor of floats. state_*: narrow states (shaders/storage/), after their update. sections: the output y = b0 u + p of a filter's last biquad,
// which shaders/rules/iir.wgsl does not store; computed before the update, from the same inputs.
// import: index, exponent_histogram, half, step

struct Params {
    words: u32, // of the state, or of the gradient for `sections`; padding counts as zeros
    block: u32, // words per block; the last block may be shorter
    pitch: u32, // words per row
    unit: f32,  // scale of 16-bit floats
    first: u32, // integers: the row of `exponents` that belongs to the first row of the state
    planes: u32, // `sections`: p and q of each biquad
    hyper_offset: u32, // `sections`: index of the first of the rule's four vec4 in the step's hyperparameters
}

var<storage, read> state: array<u32>; // rows, two or four to a word, low bits first, [words]
var<storage, read> exponents: array<u32>; // of the units, as in an f32, by step mod 2, then what follows them, at least [first + words/pitch][2]
var<storage, read> g: array<f32>; // gradient, [words]
var<storage, read> s: array<f32>; // p and q of each biquad, rows of planes of pitch numbers, [words][planes]

// limit: 0 < pitch
// limit: 0 < block
// limit: words/pitch * pitch <= words
// grid state_f16: [words/block][1][1]
// grid state_i16: [words/block][1][1]
// grid state_i8: [words/block][1][1]
// grid sections: [words/block][1][1]
// limit: sections: planes <= 8
// limit: hyper_offset + 4 <= 32
var<uniform> params: Params;

// Returns the unit of word `i` of an integer state after this step's update.
fn unit_of(i: u32) -> f32 {
    return bitcast<f32>(exponents[(params.first + i / params.pitch) * 2u + (step.step + 1u) % 2u] << 23u);
}

@compute @workgroup_size(THREADS)
fn state_f16(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    begin_histogram(local);
    let first = group.x * params.block;
    let end = loop_bound(min(params.words, first + params.block), arrayLength(&state));
    var sum = 0.0;
    for (var i = first + local; i < end; i += THREADS) {
        let values = of_halves(unpack16(vec2<u32>(state[i], 0u))) * params.unit;
        sum += count_exponent(values.x);
        sum += count_exponent(values.y);
    }
    end_histogram(local, group.x, sum);
}

@compute @workgroup_size(THREADS)
fn state_i16(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    begin_histogram(local);
    let first = group.x * params.block;
    let end = loop_bound(min(params.words, first + params.block), arrayLength(&state));
    var sum = 0.0;
    for (var i = first + local; i < end; i += THREADS) {
        let values = signed16(vec2<u32>(state[i], 0u)) * unit_of(i);
        sum += count_exponent(values.x);
        sum += count_exponent(values.y);
    }
    end_histogram(local, group.x, sum);
}

@compute @workgroup_size(THREADS)
fn state_i8(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    begin_histogram(local);
    let first = group.x * params.block;
    let end = loop_bound(min(params.words, first + params.block), arrayLength(&state));
    var sum = 0.0;
    for (var i = first + local; i < end; i += THREADS) {
        let values = signed8(state[i]) * unit_of(i);
        sum += count_exponent(values.x);
        sum += count_exponent(values.y);
        sum += count_exponent(values.z);
        sum += count_exponent(values.w);
    }
    end_histogram(local, group.x, sum);
}

@compute @workgroup_size(THREADS)
fn sections(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    begin_histogram(local);
    let first = group.x * params.block;
    let end = loop_bound(min(params.words, first + params.block), arrayLength(&g));
    let planes = loop_bound(params.planes, arrayLength(&s));
    var sum = 0.0;
    for (var i = first + local; i < end; i += THREADS) {
        var u = g[i];
        let at = i / params.pitch * planes * params.pitch + i % params.pitch;
        for (var k = 0u; k < planes / 2u; k++) {
            u = step.hyperparameters[params.hyper_offset + k].x * u + s[at + 2u * k * params.pitch];
        }
        sum += count_exponent(u);
    }
    end_histogram(local, group.x, sum);
}
