// cascade: the cascaded moving-average filter whose sign is the weight (Quist, Li, van Gemert, ICLR 2023):
//   m += gamma * (g - m),  h += alpha * (m - h),  weight = -1 where h > 0, +1 where h < 0, unchanged where h = 0.
// In one pass over the gradient the states are updated, the signs packed and the flips counted. `ema` has one filter, h += alpha * (g - h).
// import: index, step

struct Params {
    rows: u32,  // of the weight matrix
    words: u32, // of a row: the states have words * 32 columns
    knob: u32,  // which vec4 of the step's knobs: alpha, gamma
    layer: u32, // which counter takes the flips
}

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;             // gradient, rows [rows][words * 32]
@group(0) @binding(1) var<storage, read_write> m: array<vec4<f32>>;       // first filter, as g
@group(0) @binding(2) var<storage, read_write> h: array<vec4<f32>>;       // second filter, as g
@group(0) @binding(3) var<storage, read_write> weight: array<u32>;        // bits, panels [rows/32][words][32]
@group(0) @binding(4) var<storage, read_write> flips: array<atomic<u32>>; // [layers]

@group(1) @binding(0) var<uniform> params: Params;

// Words that a workgroup has: each invocation has a nibble, and eight of them a word.
const THREADS: u32 = 64u;
const COVER_cascade: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_ema: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_cascade_shared: vec3<u32> = vec3<u32>(THREADS / 8u, 1u, 1u);

var<workgroup> sh_flips: atomic<u32>;
var<workgroup> sh_words: array<array<atomic<u32>, 2>, THREADS / 8u>;

// Masks of the four columns whose weight turns -1 (x), and +1 (y).
fn turns(h: vec4<f32>) -> vec2<u32> {
    let place = vec4<u32>(1u, 2u, 4u, 8u);
    let off = select(vec4<u32>(0u), place, h > vec4<f32>(0.0));
    let on = select(vec4<u32>(0u), place, h < vec4<f32>(0.0));
    return vec2<u32>(off.x | off.y | off.z | off.w, on.x | on.y | on.z | on.w);
}

// An invocation has a whole word: 32 columns of one row.
@compute @workgroup_size(THREADS)
fn cascade(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    let word = i % params.words;
    let row = i / params.words;
    if (row >= params.rows) {
        return;
    }
    let alpha = step.knobs[params.knob].x;
    let gamma = step.knobs[params.knob].y;
    let first = i * 8u;
    var off = 0u;
    var on = 0u;
    for (var q = 0u; q < 8u; q++) { // unroll
        let m_old = m[first + q];
        let h_old = h[first + q];
        let m_new = m_old + gamma * (g[first + q] - m_old);
        let h_new = h_old + alpha * (m_new - h_old);
        m[first + q] = m_new;
        h[first + q] = h_new;
        let turn = turns(h_new);
        off |= turn.x << (q * 4u);
        on |= turn.y << (q * 4u);
    }
    let at = word_index(params.words, row, word);
    let before = weight[at];
    let next = (before & ~off) | on;
    weight[at] = next;
    let flipped = countOneBits(before ^ next);
    if (flipped != 0u) {
        atomicAdd(&flips[params.layer], flipped);
    }
}

// The same with one filter.
@compute @workgroup_size(THREADS)
fn ema(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    let word = i % params.words;
    let row = i / params.words;
    if (row >= params.rows) {
        return;
    }
    let alpha = step.knobs[params.knob].x;
    let first = i * 8u;
    var off = 0u;
    var on = 0u;
    for (var q = 0u; q < 8u; q++) { // unroll
        let h_old = h[first + q];
        let h_new = h_old + alpha * (g[first + q] - h_old);
        h[first + q] = h_new;
        let turn = turns(h_new);
        off |= turn.x << (q * 4u);
        on |= turn.y << (q * 4u);
    }
    let at = word_index(params.words, row, word);
    let before = weight[at];
    let next = (before & ~off) | on;
    weight[at] = next;
    let flipped = countOneBits(before ^ next);
    if (flipped != 0u) {
        atomicAdd(&flips[params.layer], flipped);
    }
}

// Neighbouring invocations read neighbouring floats; words are put together in workgroup memory.
@compute @workgroup_size(THREADS)
fn cascade_shared(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    let slot = local / 8u;
    if (local == 0u) {
        atomicStore(&sh_flips, 0u);
    }
    if (local % 8u == 0u) {
        atomicStore(&sh_words[slot][0], 0u);
        atomicStore(&sh_words[slot][1], 0u);
    }
    workgroupBarrier();
    let row = (i / 8u) / params.words;
    let inside = row < params.rows;
    if (inside) {
        let alpha = step.knobs[params.knob].x;
        let gamma = step.knobs[params.knob].y;
        let m_old = m[i];
        let h_old = h[i];
        let m_new = m_old + gamma * (g[i] - m_old);
        let h_new = h_old + alpha * (m_new - h_old);
        m[i] = m_new;
        h[i] = h_new;
        let turn = turns(h_new);
        atomicOr(&sh_words[slot][0], turn.x << (local % 8u * 4u));
        atomicOr(&sh_words[slot][1], turn.y << (local % 8u * 4u));
    }
    workgroupBarrier();
    if (inside && local % 8u == 0u) {
        let at = word_index(params.words, row, (i / 8u) % params.words);
        let before = weight[at];
        let next = (before & ~atomicLoad(&sh_words[slot][0])) | atomicLoad(&sh_words[slot][1]);
        weight[at] = next;
        atomicAdd(&sh_flips, countOneBits(before ^ next));
    }
    workgroupBarrier();
    if (local == 0u) {
        let flipped = atomicLoad(&sh_flips);
        if (flipped != 0u) {
            atomicAdd(&flips[params.layer], flipped);
        }
    }
}
