// magnitudes: how large the numbers of a tensor are, for diagnostics. For each power of two, how many numbers lie between it and the next,
//   counts[e] += number of x whose exponent field is e:  2^(e - 127) <= |x| < 2^(e - 126);  e = 0: below 2^-126;  255: not finite,
// which are integers, the same in whatever order; and the sum of squares of each block of words.
// import: index

struct Params {
    words: u32, // of the tensor; padding is 0 and counts as such
    block: u32, // words of a block; the last may have fewer
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;                     // [words]
@group(0) @binding(1) var<storage, read_write> counts: array<atomic<u32>>;  // [256], grow and wrap
@group(0) @binding(2) var<storage, read_write> squares: array<f32>;         // [blocks]

@group(1) @binding(0) var<uniform> params: Params;

const THREADS: u32 = 64u;
const COVER: vec3<u32> = vec3<u32>(1u, 1u, 1u);

var<workgroup> sh_counts: array<atomic<u32>, 256>;
var<workgroup> sh_sums: array<f32, THREADS>;

// A workgroup has a block.
@compute @workgroup_size(THREADS)
fn magnitudes(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    for (var i = local; i < 256u; i += THREADS) {
        atomicStore(&sh_counts[i], 0u);
    }
    workgroupBarrier();
    let first = group.x * params.block;
    let end = loop_bound(min(params.words, first + params.block), arrayLength(&x));
    var sum = 0.0;
    for (var i = first + local; i < end; i += THREADS) {
        let value = x[i];
        sum += value * value;
        atomicAdd(&sh_counts[(bitcast<u32>(value) >> 23u) & 255u], 1u);
    }
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
        squares[group.x] = total;
    }
}
