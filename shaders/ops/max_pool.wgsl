// max_pool: y(p, c) = max over taps of x(source(p, t), c), and the index of that tap (the first of equal values).
// import: max_pool, conv, index
// limit: out_channels <= in_channels
// limit: in_channels <= out_channels

const THREADS: u32 = 64u;
const COVER: vec3<u32> = vec3<u32>(THREADS * 4u, 1u, 1u);

// Four channels of an output pixel per invocation.
@compute @workgroup_size(THREADS)
fn max_pool(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&chosen)) {
        _ = largest(i);
    }
}
