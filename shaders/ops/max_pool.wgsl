// max_pool: y(p, c) = max over taps of x(source(p, t), c), and the index of that tap (the first of equal values).
// import: max_pool, conv, index
// per panel: y, chosen
// limit: out_channels <= in_channels
// limit: in_channels <= out_channels

var<storage, read_write> y: array<u32>; // panels [out_channels/32][out_pixels][32]
var<storage, read_write> chosen: array<u32>; // bytes, four to a word, [out_channels/32][out_pixels][32] of 8 bits

const THREADS: u32 = 64u;
const COVER: vec3<u32> = vec3<u32>(THREADS * 4u, 1u, 1u);

// Four channels of an output pixel per invocation.
@compute @workgroup_size(THREADS)
fn max_pool(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&chosen)) {
        let best = largest(i);
        for (var lane = 0u; lane < 4u; lane++) { // unroll
            y[i * 4u + lane] = x[best.at[lane]];
        }
        chosen[i] = best.taps;
    }
}
