// sgd: stochastic gradient descent with momentum and weight decay, as PyTorch writes it (no dampening, no Nesterov):
//   v = mu * v + (g + decay * p),  p -= rate * v.   Hyperparameters: x = rate, y = mu, z = decay.
// import: index, step, failed

struct Params {
    hyper_offset: u32, // which vec4 of the step's hyperparameters
    layers: u32,       // binary layers that have counters
}

var<storage, read> g: array<f32>;       // gradient, any length
var<storage, read_write> v: array<f32>; // velocity, as g
var<storage, read_write> p: array<f32>; // parameter, as g

// limit: hyper_offset < 32
var<uniform> params: Params;

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn sgd(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&p)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    let velocity = hyperparameters.y * v[i] + (g[i] + hyperparameters.z * p[i]);
    v[i] = velocity;
    let p_new = p[i] - hyperparameters.x * velocity;
    p[i] = p_new;
    if (!is_finite(velocity) || !is_finite(p_new)) {
        raise_failed(params.layers);
    }
}
