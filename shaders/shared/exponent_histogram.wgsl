// How large numbers are, for diagnostics. For each power of two, how many numbers lie between it and the next,
//   counts[e] += number of those whose exponent field is e:  2^(e - 127) <= |x| < 2^(e - 126);  e = 0: below 2^-126;  255: not finite,
// which are integers, the same in whatever order; and the sum of squares of each block. A workgroup has a block; a kernel adds what the numbers
// are made of from binding 2 on.

var<storage, read_write> counts: array<atomic<u32>>; // [256], grow and wrap
var<storage, read_write> squares: array<f32>; // one per block [words/block]

const THREADS: u32 = 64u;
const COVER: vec3<u32> = vec3<u32>(1u, 1u, 1u);

var<workgroup> sh_counts: array<atomic<u32>, 256>;
var<workgroup> sh_sums: array<f32, THREADS>;

// Before the first number.
fn begin_histogram(local: u32) {
    for (var i = local; i < 256u; i += THREADS) {
        atomicStore(&sh_counts[i], 0u);
    }
    workgroupBarrier();
}

// Counts a number; gives its square.
fn count_exponent(value: f32) -> f32 {
    atomicAdd(&sh_counts[(bitcast<u32>(value) >> 23u) & 255u], 1u);
    return value * value;
}

// Behind the last: `sum` is of the invocation's squares.
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
