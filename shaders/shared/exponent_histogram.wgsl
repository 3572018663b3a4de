// Histogram of the binary exponents of values, for diagnostics:
//   counts[e] += number of values with exponent field e:  2^(e - 127) <= |x| < 2^(e - 126);  e = 0: below 2^-126;  e = 255: infinite or NaN,
// and the sum of squares of each block. Counts are integers, so the result does not depend on the order. A workgroup handles one block. The kernel
// that imports this file declares the tensors that it reads as bindings from 2 on.

var<storage, read_write> counts: array<atomic<u32>>; // [256], grow and wrap
var<storage, read_write> squares: array<f32>; // one per block [words/block]

const THREADS: u32 = 64u;
const COVER: vec3<u32> = vec3<u32>(1u, 1u, 1u);

var<workgroup> sh_counts: array<atomic<u32>, 256>;
var<workgroup> sh_sums: array<f32, THREADS>;

// Clears the workgroup's histogram; call before the first value.
fn begin_histogram(local: u32) {
    for (var i = local; i < 256u; i += THREADS) {
        atomicStore(&sh_counts[i], 0u);
    }
    workgroupBarrier();
}

// Counts one value and returns its square.
fn count_exponent(value: f32) -> f32 {
    atomicAdd(&sh_counts[(bitcast<u32>(value) >> 23u) & 255u], 1u);
    return value * value;
}

// Merges the workgroup's histogram into `counts`; call after the last value. `sum` is the invocation's sum of squares.
fn end_histogram(local: u32, block: u32, sum: f32) {
    sh_sums[local] = sum;
    workgroupBarrier();
    for (var i = local; i < 256u; i += THREADS) {
        let count = atomicLoad(&sh_counts[i]);
        if (count != 0u) {
            atomicAdd(&counts[i], count);
        }
    }
    if (local == 0u) {
        var total = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            total += sh_sums[i];
        }
        squares[block] = total;
    }
}
