// magnitudes: exponent histogram and sums of squares of a tensor (shaders/shared/exponent_histogram.wgsl), in blocks of words.
// import: index, exponent_histogram

struct Params {
    words: u32, // of the tensor; padding counts as zeros
    block: u32, // words per block; the last block may be shorter
}

var<storage, read> x: array<f32>; // [words]

// limit: 0 < block
// grid magnitudes: [words/block][1][1]
var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn magnitudes(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    begin_histogram(local);
    let first = group.x * params.block;
    let end = loop_bound(min(params.words, first + params.block), arrayLength(&x));
    var sum = 0.0;
    for (var i = first + local; i < end; i += THREADS) {
        sum += count_exponent(x[i]);
    }
    end_histogram(local, group.x, sum);
}
