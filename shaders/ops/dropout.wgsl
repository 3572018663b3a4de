// dropout (Srivastava et al. 2014): y = x / (1 - p) where an element is kept, with probability 1 - p, else 0. Backward is the same on dy, with the same
// numbers, so no mask is stored. Numbers are counted by places in memory.
// import: index, step, random

struct Params {
    stream: u32,    // of the random numbers
    threshold: u32, // p * 2^32: numbers below it drop
    scale: f32,     // 1 / (1 - p)
}

var<storage, read> x: array<f32>; // any length
var<storage, read_write> y: array<f32>; // as x

var<uniform> params: Params;

const THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn dropout(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&y)) {
        let number = draw(draws(step.seed, step.step, params.stream), i);
        y[i] = select(0.0, x[i] * params.scale, number >= params.threshold);
    }
}
