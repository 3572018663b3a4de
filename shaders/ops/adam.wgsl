// adam: Adam (Kingma and Ba 2015, algorithm 1), in PyTorch's form, with L2 decay:
//   g += decay p,  m += (1 - beta1) (g - m),  v += (1 - beta2) (g^2 - v),  p -= rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon).
// The host folds the bias corrections into the hyperparameters: x = rate / (1 - beta1^t), y = 1 / sqrt(1 - beta2^t), z = 1 - beta1, w = 1 - beta2.
// import: index, step, failed

struct Params {
    hyper_offset: u32, // index into the step's hyperparameters (vec4)
    layers: u32,       // number of binary layers with counters
    epsilon: f32,
    decay: f32,
}

var<storage, read> g: array<f32>;       // gradient, any length
var<storage, read_write> m: array<f32>; // first moment, as g
var<storage, read_write> v: array<f32>; // second moment, as g
var<storage, read_write> p: array<f32>; // parameter, as g

// limit: hyper_offset < 32
var<uniform> params: Params;

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn adam(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&p)) {
        return;
    }
    let hyperparameters = step.hyperparameters[params.hyper_offset];
    let slope = g[i] + params.decay * p[i];
    let m_new = m[i] + hyperparameters.z * (slope - m[i]);
    let v_new = v[i] + hyperparameters.w * (slope * slope - v[i]);
    m[i] = m_new;
    v[i] = v_new;
    let p_new = p[i] - hyperparameters.x * m_new / (sqrt(v_new) * hyperparameters.y + params.epsilon);
    p[i] = p_new;
    if (!is_finite(m_new) || !is_finite(v_new) || !is_finite(p_new)) {
        raise_failed(params.layers);
    }
}
