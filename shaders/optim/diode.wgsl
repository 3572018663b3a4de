// diode: a cascade with a sign between its averages (Guo et al., ECCV 2024), so that every step votes with the same weight:
//   m += gamma * (g - m),  s += alpha * (sign(m) - s),  weight = -1 where s > 0, +1 where s < 0, unchanged where s = 0;  sign(0) = 0.
// Hyperparameters: x = alpha, y = gamma.
// import: weight

@group(0) @binding(3) var<storage, read_write> m: array<vec4<f32>>; // average gradient, as g
@group(0) @binding(4) var<storage, read_write> s: array<vec4<f32>>; // average sign, as g

// Words that a workgroup has, one an invocation.
const THREADS: u32 = 64u;

fn diode_at(i: u32, hyperparameters: vec4<f32>) -> vec4<f32> {
    let m_old = m[i];
    let s_old = s[i];
    let m_new = m_old + hyperparameters.y * (g[i] - m_old);
    let s_new = s_old + hyperparameters.x * (sign(m_new) - s_old);
    m[i] = m_new;
    s[i] = s_new;
    return s_new;
}

@compute @workgroup_size(THREADS)
fn diode(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        update = accumulate(update, q, diode_at(i * 8u + q, hyperparameters));
    }
    commit_word(i, update);
}
