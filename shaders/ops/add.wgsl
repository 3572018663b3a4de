// add: y = a + b, element by element; the join of two branches, and of gradients where a value was used twice.
// import: index

var<storage, read> a: array<f32>; // any length
var<storage, read> b: array<f32>; // as a
var<storage, read_write> y: array<f32>; // as a

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn add(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&y)) {
        y[i] = a[i] + b[i];
    }
}
