// latent: rules that move a float weight x, clip it, and keep its sign as the weight (x = 0 leaves the weight as it is):
//   signum:      m += (1 - momentum) * (g - m),  x -= rate * (sign(m) + decay * x)                  (Bernstein et al., ICML 2018; sign(0) = 0)
//   latent_sgd:  v = momentum * v + (g + decay * x),  x -= rate * v                                 (as PyTorch, no dampening)
//   latent_adam: d = g + decay * x,  m += (1 - beta1) * (d - m),  v += (1 - beta2) * (d^2 - v),
//                x -= rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)                (Kingma and Ba 2015, as PyTorch)
// Hyperparameters of signum and latent_sgd: x = rate, y = 1 - momentum or momentum, z = decay, w = clip. Of latent_adam, whose corrections the host works in:
// x = rate / (1 - beta1^t), y = 1 / sqrt(1 - beta2^t), z = 1 - beta1, w = 1 - beta2; then x = decay, y = clip, z = epsilon.
// import: weight

@group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>; // latent weight, as g
@group(0) @binding(4) var<storage, read_write> m: array<vec4<f32>>; // momentum, as g
@group(0) @binding(5) var<storage, read_write> v: array<vec4<f32>>; // second moment, as g

// Words that a workgroup has, one an invocation.
const THREADS: u32 = 64u;

// The new latent weight, clipped; its decision.
fn keep(i: u32, latent: vec4<f32>, clip: f32) -> vec4<f32> {
    let clipped = clamp(latent, vec4<f32>(-clip), vec4<f32>(clip));
    x[i] = clipped;
    return -clipped;
}

fn signum_at(i: u32, hyperparameters: vec4<f32>) -> vec4<f32> {
    let x_old = x[i];
    let m_old = m[i];
    let m_new = m_old + hyperparameters.y * (g[i] - m_old);
    m[i] = m_new;
    return keep(i, x_old - hyperparameters.x * (sign(m_new) + hyperparameters.z * x_old), hyperparameters.w);
}

fn latent_sgd_at(i: u32, hyperparameters: vec4<f32>) -> vec4<f32> {
    let x_old = x[i];
    let m_new = hyperparameters.y * m[i] + (g[i] + hyperparameters.z * x_old);
    m[i] = m_new;
    return keep(i, x_old - hyperparameters.x * m_new, hyperparameters.w);
}

fn latent_adam_at(i: u32, hyperparameters: vec4<f32>, more: vec4<f32>) -> vec4<f32> {
    let x_old = x[i];
    let m_old = m[i];
    let v_old = v[i];
    let d = g[i] + more.x * x_old;
    let m_new = m_old + hyperparameters.z * (d - m_old);
    let v_new = v_old + hyperparameters.w * (d * d - v_old);
    m[i] = m_new;
    v[i] = v_new;
    return keep(i, x_old - hyperparameters.x * m_new / (sqrt(v_new) * hyperparameters.y + more.z), more.y);
}

@compute @workgroup_size(THREADS)
fn signum(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        update = accumulate(update, q, signum_at(i * 8u + q, hyperparameters));
    }
    commit_word(i, update);
}

@compute @workgroup_size(THREADS)
fn latent_sgd(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        update = accumulate(update, q, latent_sgd_at(i * 8u + q, hyperparameters));
    }
    commit_word(i, update);
}

@compute @workgroup_size(THREADS)
fn latent_adam(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    let more = step.hyperparameters[params.hyper_offset + 1u];
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        update = accumulate(update, q, latent_adam_at(i * 8u + q, hyperparameters, more));
    }
    commit_word(i, update);
}
