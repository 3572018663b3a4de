// Counters of the updates of a step, of which the last word is the first step that made a number that is NaN or infinite (0xffffffff: none).
// import: bits, step

var<storage, read_write> counters: array<atomic<u32>>; // of each layer flips, saturated states and factor of the rate (f32), then the first step that failed, [3 * layers + 1]

// Some parameter or state is not finite; `layers` have counters.
fn raise_failed(layers: u32) {
    atomicMin(&counters[3u * layers], step.step);
}
