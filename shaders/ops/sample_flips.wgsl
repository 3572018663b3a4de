// sample_flips: tracks a fixed sample of a weight matrix across steps, for diagnostics: the weights that have ever flipped, and those that
// flipped back within a window of steps. It runs before the step's update and resets at step 0. With `report` it writes the counts and clears the
// flip-backs.
// import: bits, index, random, step

struct Params {
    rows: u32,    // of the weight matrix
    columns: u32,
    count: u32,   // words in the sample
    window: u32,  // a flip within this number of steps of the previous one is a flip-back
    report: u32,  // 1: write the counts
}

var<storage, read> weight: array<u32>; // bits, panels [rows/32][columns/32][32]
var<storage, read_write> before: array<u32>; // the words as they were a step ago, [count]
var<storage, read_write> last: array<u32>; // step that first saw the last flip of each, 0: none, [count][32]
var<storage, read_write> ever: array<u32>; // bits of weights that have flipped, [count]
var<storage, read_write> back: array<u32>; // bits of weights that flipped back since the last report, [count]
var<storage, read_write> found: array<u32>; // weights in the sample, those of `ever`, those of `back`, 0: [4]

var<uniform> params: Params;

// limit: 0 < count
// limit: count <= rows * (columns/32)
const THREADS: u32 = 64u;
const COVER: vec3<u32> = vec3<u32>(1u, 1u, 1u);

var<workgroup> sh_found: array<atomic<u32>, 4>;

// Runs as one workgroup. The matrix's words, in row-major order, are divided into `count` ranges; word j of the sample is a random word of range j.
// The choice is the same at every step and for every seed.
@compute @workgroup_size(THREADS)
fn sample_flips(@builtin(local_invocation_index) local: u32) {
    if (local < 4u) {
        atomicStore(&sh_found[local], 0u);
    }
    workgroupBarrier();
    let words = (params.columns + 31u) / 32u;
    let stretch = params.rows * words / params.count;
    let count = loop_bound(params.count, arrayLength(&weight));
    let key = draws(0u, 0u, 0u);
    for (var j = local; j < count; j += THREADS) {
        let i = j * stretch + draw(key, j) % stretch;
        let word = weight[word_index(words, i / words, i % words)];
        var flipped = before[j] ^ word;
        before[j] = word;
        if (step.step == 0u) {
            flipped = 0u;
            ever[j] = 0u;
            back[j] = 0u;
            for (var bit = 0u; bit < 32u; bit++) {
                last[j * 32u + bit] = 0u;
            }
        }
        ever[j] |= flipped;
        while (flipped != 0u) {
            let bit = firstTrailingBit(flipped);
            flipped &= flipped - 1u;
            let earlier = last[j * 32u + bit];
            if (earlier != 0u && step.step - earlier <= params.window) {
                back[j] |= 1u << bit;
            }
            last[j * 32u + bit] = step.step;
        }
        if (params.report == 1u) {
            atomicAdd(&sh_found[0], countOneBits(tail_mask(params.columns, (i % words) * 32u)));
            atomicAdd(&sh_found[1], countOneBits(ever[j]));
            atomicAdd(&sh_found[2], countOneBits(back[j]));
            back[j] = 0u;
        }
    }
    workgroupBarrier();
    if (params.report == 1u && local < 4u) {
        found[local] = atomicLoad(&sh_found[local]);
    }
}
