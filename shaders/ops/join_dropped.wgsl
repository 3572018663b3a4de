// join_dropped: the product with signs of which a share p is dropped, from those with the two copies of drop_signs.wgsl.
// join_dropped:          y = (up + down) / (2 (1 - p)), exact of integers.
// join_dropped_backward: d up = d down = dy / (2 (1 - p)).
// import: index

struct Params {
    scale: f32,   // 1 / (2 (1 - p))
    integer: u32, // 1: products are integers
}

var<storage, read> up: array<u32>; // product with the first copy, any length
var<storage, read> down: array<u32>; // product with the second, as up
var<storage, read_write> y: array<f32>; // as up
var<storage, read> dy: array<f32>; // any length
var<storage, read_write> dx: array<f32>; // of either product, as dy

var<uniform> params: Params;

const THREADS: u32 = 64u;

// An invocation of each entry has one element.
@compute @workgroup_size(THREADS)
fn join_dropped(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&y)) {
        let whole = f32(bitcast<i32>(up[i]) + bitcast<i32>(down[i]));
        y[i] = select(bitcast<f32>(up[i]) + bitcast<f32>(down[i]), whole, params.integer != 0u) * params.scale;
    }
}

@compute @workgroup_size(THREADS)
fn join_dropped_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&dx)) {
        dx[i] = dy[i] * params.scale;
    }
}
