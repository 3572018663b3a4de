// cascade: the cascaded moving-average filter whose sign is the weight (Quist, Li, van Gemert, ICLR 2023):
//   m += gamma * (g - m),  h += alpha * (m - h),  weight = -1 where h > 0, +1 where h < 0, unchanged where h = 0.
// In one pass over the gradient the states are updated, the signs packed and the flips counted. `ema` has one filter, h += alpha * (g - h).
// Hyperparameters: x = alpha, y = gamma.
// import: weight

@group(0) @binding(3) var<storage, read_write> m: array<vec4<f32>>; // first filter, as g
@group(0) @binding(4) var<storage, read_write> h: array<vec4<f32>>; // second filter, as g

// Words that a workgroup has: each invocation has a nibble, and eight of them a word.
const THREADS: u32 = 64u;
const COVER_cascade: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_ema: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_cascade_shared: vec3<u32> = vec3<u32>(THREADS / 8u, 1u, 1u);

var<workgroup> sh_flips: atomic<u32>;
var<workgroup> sh_words: array<array<atomic<u32>, 2>, THREADS / 8u>;

fn cascade_at(i: u32, hyperparameters: vec4<f32>) -> vec4<f32> {
    let m_old = m[i];
    let h_old = h[i];
    let m_new = m_old + hyperparameters.y * (g[i] - m_old);
    let h_new = h_old + hyperparameters.x * (m_new - h_old);
    m[i] = m_new;
    h[i] = h_new;
    return h_new;
}

// An invocation has a whole word: 32 columns of one row.
@compute @workgroup_size(THREADS)
fn cascade(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        update = accumulate(update, q, cascade_at(i * 8u + q, hyperparameters));
    }
    commit_word(i, update);
}

// The same with one filter.
@compute @workgroup_size(THREADS)
fn ema(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let alpha = step.hyperparameters[params.hyper_offset].x;
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        let h_old = h[i * 8u + q];
        let h_new = h_old + alpha * (g[i * 8u + q] - h_old);
        h[i * 8u + q] = h_new;
        update = accumulate(update, q, h_new);
    }
    commit_word(i, update);
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
    let inside = !is_outside(i / 8u);
    if (inside) {
        let update = sign_update(cascade_at(i, step.hyperparameters[params.hyper_offset]));
        atomicOr(&sh_words[slot][0], update.clear_mask << (local % 8u * 4u));
        atomicOr(&sh_words[slot][1], update.set_mask << (local % 8u * 4u));
    }
    workgroupBarrier();
    if (inside && local % 8u == 0u) {
        let update = SignUpdate(atomicLoad(&sh_words[slot][0]), atomicLoad(&sh_words[slot][1]));
        atomicAdd(&sh_flips, write_word(i / 8u, update));
    }
    workgroupBarrier();
    if (local == 0u) {
        let flipped = atomicLoad(&sh_flips);
        if (flipped != 0u) {
            atomicAdd(&flips[params.layer], flipped);
        }
    }
}
