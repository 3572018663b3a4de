// Activations of floats, element by element, by `kind` in Params:
// RELU: y = max(x, 0); HARDTANH: y = min(max(x, -1), 1); dx = dy where x is above 0, or inside -1..1, else 0.
// import: index

struct Params {
    kind: u32,
}

var<storage, read> x: array<f32>; // any length
var<storage, read> dy: array<f32>; // as x
var<storage, read_write> y: array<f32>; // as x
var<storage, read_write> dx: array<f32>; // as x

var<uniform> params: Params;

const RELU: u32 = 0u;
const HARDTANH: u32 = 1u;
const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn activation(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&y)) {
        y[i] = select(clamp(x[i], -1.0, 1.0), max(x[i], 0.0), params.kind == RELU);
    }
}

@compute @workgroup_size(THREADS)
fn activation_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&dx)) {
        let passes = select(abs(x[i]) < 1.0, x[i] > 0.0, params.kind == RELU);
        dx[i] = select(0.0, dy[i], passes);
    }
}
