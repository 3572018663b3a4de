// bop: the rules without latent weights of Helwegen et al. (NeurIPS 2019) and Suarez-Ramirez et al. (2021): a weight flips where the average
// gradient keeps pushing it, by more than a threshold:
//   bop:  m += alpha * (g - m),  weight = -1 where m > threshold, +1 where m < -threshold, else unchanged.
//   bop2: v += sigma * (g^2 - v) beside it, and m / (sqrt(v) + 1e-10) in the place of m (the biased form).
// Hyperparameters: x = alpha, y = threshold, z = sigma.
// import: weight

@group(0) @binding(3) var<storage, read_write> m: array<vec4<f32>>; // average gradient, as g
@group(0) @binding(4) var<storage, read_write> v: array<vec4<f32>>; // average square, as g

// Words that a workgroup has, one an invocation.
const THREADS: u32 = 64u;

fn bop_at(i: u32, hyperparameters: vec4<f32>) -> vec4<f32> {
    let m_old = m[i];
    let m_new = m_old + hyperparameters.x * (g[i] - m_old);
    m[i] = m_new;
    return select(vec4<f32>(0.0), m_new, abs(m_new) > vec4<f32>(hyperparameters.y));
}

fn bop2_at(i: u32, hyperparameters: vec4<f32>) -> vec4<f32> {
    let gradient = g[i];
    let m_old = m[i];
    let v_old = v[i];
    let m_new = m_old + hyperparameters.x * (gradient - m_old);
    let v_new = v_old + hyperparameters.z * (gradient * gradient - v_old);
    m[i] = m_new;
    v[i] = v_new;
    return select(vec4<f32>(0.0), m_new, abs(m_new) > hyperparameters.y * (sqrt(v_new) + 1e-10));
}

@compute @workgroup_size(THREADS)
fn bop(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        update = accumulate(update, q, bop_at(i * 8u + q, hyperparameters));
    }
    commit_word(i, update);
}

@compute @workgroup_size(THREADS)
fn bop2(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        update = accumulate(update, q, bop2_at(i * 8u + q, hyperparameters));
    }
    commit_word(i, update);
}
