// class_weights: y[r][c] = w[label[r]] x[r][c], the gradient of a loss whose rows are weighted by their classes.
// import: index

struct Params {
    rows: u32,
    classes: u32,
}

var<uniform> params: Params;

// limit: 0 < rows
// limit: 0 < classes
var<storage, read> x: array<f32>; // [classes/32][rows][32]
var<storage, read> labels: array<u32>; // [rows]
var<storage, read> weights: array<f32>; // [classes]
var<storage, read_write> y: array<f32>; // as x

const THREADS: u32 = 64u;

// One element per invocation, including tail lanes, which become 0.
@compute @workgroup_size(THREADS)
fn class_weights(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&y)) {
        let label = labels[(i >> 5u) % params.rows];
        let c = (i >> 5u) / params.rows * 32u + (i & 31u);
        y[i] = select(0.0, weights[min(label, params.classes - 1u)] * x[i], c < params.classes);
    }
}
