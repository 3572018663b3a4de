// magnitudes: how large the numbers of a tensor are (shaders/shared/exponent_histogram.wgsl), by blocks of words.
// import: index, exponent_histogram

struct Params {
    words: u32, // of the tensor; padding is 0 and counts as such
    block: u32, // words of a block; the last may have fewer
}

var<storage, read> x: array<f32>; // [words]

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
