// max_pool: y(p, c) = max over taps of x(source(p, t), c), and which tap it was, the first of equals.
// import: max_pool, conv, index

const THREADS: u32 = 64u;
const COVER: vec3<u32> = vec3<u32>(THREADS * 4u, 1u, 1u);

// An invocation has four channels of an output pixel.
@compute @workgroup_size(THREADS)
fn max_pool(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&chosen)) {
        _ = largest(i);
    }
}
