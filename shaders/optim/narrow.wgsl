// narrow: the filters of cascade.wgsl with narrow states, rounded to one of the two neighbours at random, the nearer the likelier, so that what is
// smaller than a step still counts on average; the weight is the sign of h as it is stored.
// f16: 16-bit floats of 2^16 times the state. i16, i8: integers in units of a power of two that a row shares and that follows the
// row's largest size after the step before: above 3/4 of the largest integer it doubles, at that integer, which states too large for their unit
// become, it grows 16 times, below 1/4 it halves, below 1/64 it shrinks 8 times. States at the ends are counted.
// Hyperparameters: x = alpha, y = gamma.
// import: weight, random, half

@group(0) @binding(3) var<storage, read_write> m: array<u32>; // first filter, as g, two or four to a word, low bits first
@group(0) @binding(4) var<storage, read_write> h: array<u32>; // second filter, as m
@group(0) @binding(5) var<storage, read_write> exponents: array<atomic<u32>>; // of the units, as in an f32: [states][rows][2], by step mod 2
@group(0) @binding(6) var<storage, read_write> peaks: array<atomic<u32>>; // largest sizes: [states][rows][3], by step mod 3; then the saturated

// Words that a workgroup has, one an invocation.
const THREADS: u32 = 64u;
// Powers of two are multiplied: division may be off by some last digits.
const SCALE_F16: f32 = 65536.0;
const UNIT_F16: f32 = 0.0000152587890625;
const MAX_I16: f32 = 32767.0;
const MAX_I8: f32 = 127.0;

// The unit that a row's state is stored in, 1 / the unit that it will be, and where its largest size goes.
struct Unit {
    old: f32,
    inverse: f32,
    peak: u32,
}

fn unit(state: u32, i: u32, most: f32) -> Unit {
    let row = state * params.rows + i / params.words;
    let old = atomicLoad(&exponents[row * 2u + step.step % 2u]);
    let peak = f32(atomicLoad(&peaks[row * 3u + (step.step + 2u) % 3u]));
    let up = select(select(0u, 1u, peak > 0.75 * most), 4u, peak >= most);
    let down = select(select(0u, 1u, peak < 0.25 * most), 3u, peak < 0.015625 * most);
    let next = select(min(old + up, 227u), max(old, 27u + down) - down, peak > 0.0 && down > 0u);
    if (i % params.words == 0u) {
        atomicStore(&exponents[row * 2u + (step.step + 1u) % 2u], next);
        atomicStore(&peaks[row * 3u + (step.step + 1u) % 3u], 0u);
    }
    return Unit(bitcast<f32>(old << 23u), bitcast<f32>((254u - next) << 23u), row * 3u + step.step % 3u);
}

fn largest(x: vec4<f32>) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

// How many are at the ends of what the format holds.
fn at_ends(x: vec4<f32>, most: f32) -> u32 {
    let flags = select(vec4<u32>(0u), vec4<u32>(1u), abs(x) >= vec4<f32>(most));
    return flags.x + flags.y + flags.z + flags.w;
}

// 16 bits each that all states of columns q * 4 to q * 4 + 3 of word i are rounded by: each is right on average, and one number serves two columns.
fn random_halves(key: vec2<u32>, i: u32, q: u32) -> vec4<u32> {
    return (draw4(key, i * 16u + q % 4u * 4u) >> vec4<u32>(q / 4u * 16u)) & vec4<u32>(0xffffu);
}

fn count_saturated(count: u32) {
    if (count != 0u) {
        atomicAdd(&peaks[arrayLength(&peaks) - 1u], count);
    }
}

@compute @workgroup_size(THREADS)
fn cascade_i16(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    let key = draws(step.seed, step.step, params.stream);
    let units = array<Unit, 2>(unit(0u, i, MAX_I16), unit(1u, i, MAX_I16));
    var update = SignUpdate(0u, 0u);
    var tops = vec2<f32>(0.0);
    var saturated = 0u;
    for (var q = 0u; q < 8u; q++) { // unroll
        let at = i * 16u + q * 2u;
        let random = random_halves(key, i, q);
        let m_old = signed16(vec2<u32>(m[at], m[at + 1u])) * units[0].old;
        let h_old = signed16(vec2<u32>(h[at], h[at + 1u])) * units[1].old;
        let m_new = m_old + hyperparameters.y * (g[i * 8u + q] - m_old);
        let h_new = h_old + hyperparameters.x * (m_new - h_old);
        let m_kept = to_integers(m_new * units[0].inverse, random, MAX_I16);
        let h_kept = to_integers(h_new * units[1].inverse, random, MAX_I16);
        let m_words = pack16(bitcast<vec4<u32>>(m_kept));
        let h_words = pack16(bitcast<vec4<u32>>(h_kept));
        m[at] = m_words.x;
        m[at + 1u] = m_words.y;
        h[at] = h_words.x;
        h[at + 1u] = h_words.y;
        tops = max(tops, vec2<f32>(largest(abs(vec4<f32>(m_kept))), largest(abs(vec4<f32>(h_kept)))));
        saturated += at_ends(vec4<f32>(m_kept), MAX_I16) + at_ends(vec4<f32>(h_kept), MAX_I16);
        update = accumulate(update, q, vec4<f32>(h_kept));
    }
    atomicMax(&peaks[units[0].peak], u32(tops.x));
    atomicMax(&peaks[units[1].peak], u32(tops.y));
    count_saturated(saturated);
    commit_word(i, update);
}

@compute @workgroup_size(THREADS)
fn cascade_i8(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    let key = draws(step.seed, step.step, params.stream);
    let units = array<Unit, 2>(unit(0u, i, MAX_I8), unit(1u, i, MAX_I8));
    var update = SignUpdate(0u, 0u);
    var tops = vec2<f32>(0.0);
    var saturated = 0u;
    for (var q = 0u; q < 8u; q++) { // unroll
        let at = i * 8u + q;
        let random = random_halves(key, i, q);
        let m_old = signed8(m[at]) * units[0].old;
        let h_old = signed8(h[at]) * units[1].old;
        let m_new = m_old + hyperparameters.y * (g[at] - m_old);
        let h_new = h_old + hyperparameters.x * (m_new - h_old);
        let m_kept = to_integers(m_new * units[0].inverse, random, MAX_I8);
        let h_kept = to_integers(h_new * units[1].inverse, random, MAX_I8);
        m[at] = pack8(m_kept);
        h[at] = pack8(h_kept);
        tops = max(tops, vec2<f32>(largest(abs(vec4<f32>(m_kept))), largest(abs(vec4<f32>(h_kept)))));
        saturated += at_ends(vec4<f32>(m_kept), MAX_I8) + at_ends(vec4<f32>(h_kept), MAX_I8);
        update = accumulate(update, q, vec4<f32>(h_kept));
    }
    atomicMax(&peaks[units[0].peak], u32(tops.x));
    atomicMax(&peaks[units[1].peak], u32(tops.y));
    count_saturated(saturated);
    commit_word(i, update);
}

@compute @workgroup_size(THREADS)
fn cascade_f16(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    let key = draws(step.seed, step.step, params.stream);
    var update = SignUpdate(0u, 0u);
    var saturated = 0u;
    for (var q = 0u; q < 8u; q++) { // unroll
        let at = i * 16u + q * 2u;
        let random = random_halves(key, i, q);
        let m_old = of_halves(unpack16(vec2<u32>(m[at], m[at + 1u]))) * UNIT_F16;
        let h_old = of_halves(unpack16(vec2<u32>(h[at], h[at + 1u]))) * UNIT_F16;
        let m_new = m_old + hyperparameters.y * (g[i * 8u + q] - m_old);
        let h_new = h_old + hyperparameters.x * (m_new - h_old);
        let m_halves = to_halves(m_new * SCALE_F16, random);
        let h_halves = to_halves(h_new * SCALE_F16, random);
        let m_words = pack16(m_halves);
        let h_words = pack16(h_halves);
        let h_kept = of_halves(h_halves);
        m[at] = m_words.x;
        m[at + 1u] = m_words.y;
        h[at] = h_words.x;
        h[at + 1u] = h_words.y;
        saturated += at_ends(of_halves(m_halves), MAX_F16) + at_ends(h_kept, MAX_F16);
        update = accumulate(update, q, h_kept);
    }
    count_saturated(saturated);
    commit_word(i, update);
}

@compute @workgroup_size(THREADS)
fn ema_i16(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let alpha = step.hyperparameters[params.hyper_offset].x;
    let key = draws(step.seed, step.step, params.stream);
    let units = unit(0u, i, MAX_I16);
    var update = SignUpdate(0u, 0u);
    var top = 0.0;
    var saturated = 0u;
    for (var q = 0u; q < 8u; q++) { // unroll
        let at = i * 16u + q * 2u;
        let h_old = signed16(vec2<u32>(h[at], h[at + 1u])) * units.old;
        let h_new = h_old + alpha * (g[i * 8u + q] - h_old);
        let kept = to_integers(h_new * units.inverse, random_halves(key, i, q), MAX_I16);
        let words = pack16(bitcast<vec4<u32>>(kept));
        h[at] = words.x;
        h[at + 1u] = words.y;
        top = max(top, largest(abs(vec4<f32>(kept))));
        saturated += at_ends(vec4<f32>(kept), MAX_I16);
        update = accumulate(update, q, vec4<f32>(kept));
    }
    atomicMax(&peaks[units.peak], u32(top));
    count_saturated(saturated);
    commit_word(i, update);
}

@compute @workgroup_size(THREADS)
fn ema_i8(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let alpha = step.hyperparameters[params.hyper_offset].x;
    let key = draws(step.seed, step.step, params.stream);
    let units = unit(0u, i, MAX_I8);
    var update = SignUpdate(0u, 0u);
    var top = 0.0;
    var saturated = 0u;
    for (var q = 0u; q < 8u; q++) { // unroll
        let at = i * 8u + q;
        let h_old = signed8(h[at]) * units.old;
        let h_new = h_old + alpha * (g[at] - h_old);
        let kept = to_integers(h_new * units.inverse, random_halves(key, i, q), MAX_I8);
        h[at] = pack8(kept);
        top = max(top, largest(abs(vec4<f32>(kept))));
        saturated += at_ends(vec4<f32>(kept), MAX_I8);
        update = accumulate(update, q, vec4<f32>(kept));
    }
    atomicMax(&peaks[units.peak], u32(top));
    count_saturated(saturated);
    commit_word(i, update);
}

@compute @workgroup_size(THREADS)
fn ema_f16(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let alpha = step.hyperparameters[params.hyper_offset].x;
    let key = draws(step.seed, step.step, params.stream);
    var update = SignUpdate(0u, 0u);
    var saturated = 0u;
    for (var q = 0u; q < 8u; q++) { // unroll
        let at = i * 16u + q * 2u;
        let h_old = of_halves(unpack16(vec2<u32>(h[at], h[at + 1u]))) * UNIT_F16;
        let h_new = h_old + alpha * (g[i * 8u + q] - h_old);
        let halves = to_halves(h_new * SCALE_F16, random_halves(key, i, q));
        let words = pack16(halves);
        h[at] = words.x;
        h[at + 1u] = words.y;
        let kept = of_halves(halves);
        saturated += at_ends(kept, MAX_F16);
        update = accumulate(update, q, kept);
    }
    count_saturated(saturated);
    commit_word(i, update);
}
