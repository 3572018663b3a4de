// constant_channels: how many channels have the same sign in every row that holds a sample, for diagnostics: count[0] += their number.
// import: bits, index, step

struct Params {
    rows: u32,    // of x: samples times pixels
    columns: u32, // channels
    pixels: u32,  // rows of a sample
}

var<storage, read> x: array<u32>; // bits, panels [rows/32][columns/32][32]
var<storage, read_write> count: array<atomic<u32>>; // [1], grows and wraps

var<uniform> params: Params;

const THREADS: u32 = 64u;
// grid constant_channels: [columns/32][1][1]
const COVER: vec3<u32> = vec3<u32>(1u, 1u, 1u);

var<workgroup> sh_all: atomic<u32>;  // channels that are +1 in all rows
var<workgroup> sh_some: atomic<u32>; // channels that are +1 in some row

// A workgroup has a word, 32 channels.
@compute @workgroup_size(THREADS)
fn constant_channels(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if (local == 0u) {
        atomicStore(&sh_all, 0xffffffffu);
        atomicStore(&sh_some, 0u);
    }
    workgroupBarrier();
    let words = (params.columns + 31u) / 32u;
    let rows = loop_bound(min(params.rows, step.valid_rows * params.pixels), arrayLength(&x));
    var all = 0xffffffffu;
    var some = 0u;
    for (var row = local; row < rows; row += THREADS) {
        let word = x[word_index(words, row, group.x)];
        all &= word;
        some |= word;
    }
    atomicAnd(&sh_all, all);
    atomicOr(&sh_some, some);
    workgroupBarrier();
    if (local == 0u) {
        let constant = (atomicLoad(&sh_all) | ~atomicLoad(&sh_some)) & tail_mask(params.columns, group.x * 32u);
        if (constant != 0u) {
            atomicAdd(&count[0], countOneBits(constant));
        }
    }
}
