// state_magnitudes: how large what weights are the signs of is (shaders/shared/exponent_histogram.wgsl), where it is no tensor of floats: narrow states as
// shaders/optim/narrow.wgsl stores them, behind their update; the output y = b0 u + p of the last of a filter's sections, which
// shaders/optim/iir.wgsl does not store, from what its update will read, before it.
// import: index, exponent_histogram, half, step

struct Params {
    words: u32, // of the state, or for sections of the gradient; padding is 0 and counts as such
    block: u32, // words of a block; the last may have fewer
    pitch: u32, // words of a row
    unit: f32,  // of 16-bit floats
    first: u32, // of integers: the row of `exponents` that belongs to the first row
    hyper_offset: u32, // of sections: the first of the rule's four vec4 of the step's hyperparameters
}

var<storage, read> state: array<u32>; // rows, two or four to a word, low bits first, [words]
var<storage, read> exponents: array<u32>; // of the units, as in an f32, by step mod 2, [first + words/pitch][2]
var<storage, read> g: array<f32>; // gradient, [words]
var<storage, read> s: array<f32>; // p and q of each section, rows of planes of pitch numbers: any length

// limit: 0 < pitch
// limit: hyper_offset + 4 <= 32
var<uniform> params: Params;

// The unit that word `i` of integers is stored in once the step has been taken.
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
    let planes = arrayLength(&s) / arrayLength(&g);
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
