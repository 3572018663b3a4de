// conv_weights: binary weights of a convolution in the order in which its products read them, and the sum of the signs of each tap,
// which corrects the border: an absent tap is read as a pixel of -1 alone, and adds minus its sum.
// import: conv, index

var<storage, read> weight: array<u32>; // bits, panels, rows (tap, output channel), [taps * out_channels/32][words][32]
var<storage, read_write> packed: array<u32>; // bits, [out_channels/32][taps][words][32]
var<storage, read_write> sums: array<i32>; // [out_channels/32][taps][32]

const THREADS: u32 = 64u;
const COVER: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);

// An invocation has one tap of one output channel, tail channels too (they are 0).
@compute @workgroup_size(THREADS)
fn conv_weights(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&sums)) {
        return;
    }
    let tap = (i >> 5u) % taps();
    let channel = (i >> 5u) / taps() * 32u + (i & 31u);
    let inside = channel < params.out_channels;
    let words = loop_bound(params.words, arrayLength(&packed));
    var ones = 0u;
    for (var w = 0u; w < words; w++) {
        var word = 0u;
        if (inside) {
            word = weight[word_index(params.words, tap * params.out_channels + channel, w)];
        }
        ones += countOneBits(word);
        packed[((i >> 5u) * params.words + w) * 32u + (i & 31u)] = word;
    }
    let signs = i32(params.in_channels / params.groups);
    sums[i] = select(0, 2 * i32(ones) - signs, inside);
}
