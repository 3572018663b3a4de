// flip_control: after the updates of a step, each layer's factor of its rule's rate moves so that the share of weights that flip follows a target:
//   r += 0.1 * (flips of this step / weights - r),  factor *= 1 + 0.05 * (target - r) / target,  1e-6 <= factor, factor * rate <= limit.
// A factor moves by at most a fifth in a step, whatever was measured. (A quotient that is larger for small r than for large r would settle above the
// target wherever flips come in bursts.)
// import: index, step

struct Params {
    layers: u32,
    hyper_offset: u32, // vec4 of the step's hyperparameters whose x is the target
}

// limit: hyper_offset < 32

var<storage, read_write> counters: array<atomic<u32>>; // those of the updates: of each layer flips, saturated states and factor (f32), then one word, [3 * layers + 1]
var<storage, read_write> control: array<u32>;          // of each layer weights (f32), limit of its rate (f32), vec4 of its rate, flips before this step, r (f32), [layers * 5]

var<uniform> params: Params;

const THREADS: u32 = 64u;
const SMOOTHING: f32 = 0.1;
const GAIN: f32 = 0.05;
const LARGEST_MOVE: f32 = 0.2;
const SMALLEST: f32 = 1e-6;

@compute @workgroup_size(THREADS)
fn flip_control(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let layer = linear_group(group, groups) * THREADS + local;
    if (layer >= params.layers) {
        return;
    }
    let at = layer * 5u;
    let flips = atomicLoad(&counters[layer]);
    let ratio = f32(flips - control[at + 3u]) / bitcast<f32>(control[at]);
    let before = bitcast<f32>(control[at + 4u]);
    let smoothed = before + SMOOTHING * (ratio - before);
    control[at + 3u] = flips;
    control[at + 4u] = bitcast<u32>(smoothed);
    let wanted = step.hyperparameters[params.hyper_offset].x;
    let error = select(select(0.0, -1e3, smoothed > 0.0), (wanted - smoothed) / wanted, wanted > 0.0);
    let factor_at = 2u * params.layers + layer;
    let moved = bitcast<f32>(atomicLoad(&counters[factor_at])) * (1.0 + clamp(GAIN * error, -LARGEST_MOVE, LARGEST_MOVE));
    // Index clamped: it comes from memory.
    let rate = step.hyperparameters[min(control[at + 2u], 31u)].x;
    let most = select(3.4e38, bitcast<f32>(control[at + 1u]) / rate, rate > 0.0);
    atomicStore(&counters[factor_at], bitcast<u32>(min(max(moved, SMALLEST), most)));
}
