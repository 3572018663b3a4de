// Counters of a step's updates. The last word is the first step that produced a NaN or infinite value (0xffffffff: none).
// import: bits, step

var<storage, read_write> counters: array<atomic<u32>>; // of each layer flips, saturated states and factor of the rate (f32), then the first step that failed, [3 * layers + 1]

// Records that a parameter or state of this step is NaN or infinite. `layers` is the number of layers with counters.
fn raise_failed(layers: u32) {
    atomicMin(&counters[3u * layers], step.step);
}
