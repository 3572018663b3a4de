// sign: y = +1 where x >= 0 (so -0.0 is +1), else -1, packed 32 to a word; and its surrogate gradients dx = dy * s(x).
// `surrogate` in Params selects the surrogate; src/ops/activation/sign.rs lists formulas and papers.
// import: index, bits
// per panel: dx

struct Params {
    rows: u32,      // of x, the batch
    columns: u32,   // of x, the channels
    surrogate: u32,
}

var<storage, read> x: array<f32>; // [columns/32][rows][32]
var<storage, read_write> y: array<u32>; // bits, panels [rows/32][columns/32][32]
var<storage, read_write> mask: array<u32>; // bits, 1 where |x| <= 1, as y
var<storage, read> kept: array<u32>; // mask as backward reads it, as y
var<storage, read> dy: array<f32>; // [columns/32][rows][32]
var<storage, read_write> dx: array<f32>; // [columns/32][rows][32]

// limit: 0 < rows
var<uniform> params: Params;

const IDENTITY: u32 = 0u;
const CLIP: u32 = 1u;
const POLYNOMIAL: u32 = 2u; // Bi-Real Net
const SWISH: u32 = 3u;
const TANH: u32 = 4u;
const ARCTAN: u32 = 5u;
const THREADS: u32 = 64u;

// Position of a word (32 channels of one row); the packing entry points handle one per invocation. Rows beyond the batch become 0.
struct WordAt {
    inside: bool,
    row: u32,
    word: u32,
}

fn word_at(i: u32) -> WordAt {
    let words = (params.columns + 31u) / 32u;
    let block = i >> 5u;
    let row = (block / words) * 32u + (i & 31u);
    return WordAt(row < params.rows, row, block % words);
}

@compute @workgroup_size(THREADS)
fn sign(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&y)) {
        return;
    }
    let at = word_at(i);
    var bits = 0u;
    if (at.inside) {
        let first = (at.word * params.rows + at.row) * 32u;
        for (var lane = 0u; lane < 32u; lane++) { // unroll
            bits |= select(0u, 1u << lane, x[first + lane] >= 0.0);
        }
        bits &= tail_mask(params.columns, at.word * 32u);
    }
    y[i] = bits;
}

// Sign with the mask of the clip surrogate, from which the backward pass computes dx without x.
@compute @workgroup_size(THREADS)
fn sign_mask(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&y)) {
        return;
    }
    let at = word_at(i);
    var bits = 0u;
    var passes = 0u;
    if (at.inside) {
        let first = (at.word * params.rows + at.row) * 32u;
        for (var lane = 0u; lane < 32u; lane++) { // unroll
            bits |= select(0u, 1u << lane, x[first + lane] >= 0.0);
            passes |= select(0u, 1u << lane, abs(x[first + lane]) <= 1.0);
        }
        let tail = tail_mask(params.columns, at.word * 32u);
        bits &= tail;
        passes &= tail;
    }
    y[i] = bits;
    mask[i] = passes;
}

// dx = dy where the mask is 1, else 0. One element per invocation.
@compute @workgroup_size(THREADS)
fn sign_mask_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&dx)) {
        return;
    }
    let row = (i >> 5u) % params.rows;
    let word = (i >> 5u) / params.rows;
    let words = (params.columns + 31u) / 32u;
    let passes = kept[word_index(words, row, word)] >> (i & 31u);
    dx[i] = select(0.0, dy[i], (passes & 1u) == 1u);
}

fn surrogate(x: f32) -> f32 {
    switch (params.surrogate) {
        case IDENTITY: {
            return 1.0;
        }
        case CLIP: {
            return select(0.0, 1.0, abs(x) <= 1.0);
        }
        case POLYNOMIAL: {
            return select(0.0, 2.0 - 2.0 * abs(x), abs(x) < 1.0);
        }
        case SWISH: {
            // Beyond 8 the exact value is below 1e-15; the clamp keeps cosh() finite.
            let u = clamp(5.0 * x, -40.0, 40.0);
            let c = cosh(u);
            return 5.0 * (2.0 - u * tanh(0.5 * u)) / (1.0 + c);
        }
        case ARCTAN: {
            let u = 3.14159265 * x;
            return 1.0 / (1.0 + u * u);
        }
        default: {
            let t = tanh(clamp(x, -20.0, 20.0));
            return 1.0 - t * t;
        }
    }
}

@compute @workgroup_size(THREADS)
fn sign_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&dx)) {
        return;
    }
    dx[i] = dy[i] * surrogate(x[i]);
}
