// What every rule for binary weights has: the gradient, the weights as bits, the counters of flips. A rule adds its states from binding 3 on, turns
// the gradient of four columns into new states and a decision (above 0: the weight becomes -1, below 0: +1, exactly 0: it stays), and settles the word.
// import: index, step

struct Params {
    rows: u32,  // of the weight matrix
    words: u32, // of a row: gradient and states have words * 32 columns
    hyper_offset: u32, // the first of the rule's four vec4 of the step's hyperparameters
    layer: u32, // which counter takes the flips
    stream: u32, // of the random numbers, where the rule draws any
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;             // gradient, rows [rows][words * 32]
@group(0) @binding(1) var<storage, read_write> weight: array<u32>;        // bits, panels [rows/32][words][32]
@group(0) @binding(2) var<storage, read_write> flips: array<atomic<u32>>; // [layers]

@group(1) @binding(0) var<uniform> params: Params;

// Columns of a word whose weight becomes -1, and +1.
struct SignUpdate {
    clear_mask: u32,
    set_mask: u32,
}

// Whether word `i` (row after row) is beyond the matrix.
fn is_outside(i: u32) -> bool {
    return i / params.words >= params.rows;
}

// The four columns of a decision.
fn sign_update(decision: vec4<f32>) -> SignUpdate {
    let place = vec4<u32>(1u, 2u, 4u, 8u);
    let off = select(vec4<u32>(0u), place, decision > vec4<f32>(0.0));
    let on = select(vec4<u32>(0u), place, decision < vec4<f32>(0.0));
    return SignUpdate(off.x | off.y | off.z | off.w, on.x | on.y | on.z | on.w);
}

// `update`, and columns q * 4 to q * 4 + 3 by their decision.
fn accumulate(update: SignUpdate, q: u32, decision: vec4<f32>) -> SignUpdate {
    let more = sign_update(decision);
    return SignUpdate(update.clear_mask | (more.clear_mask << (q * 4u)), update.set_mask | (more.set_mask << (q * 4u)));
}

// Writes word `i`; gives the number of weights that flipped.
fn write_word(i: u32, update: SignUpdate) -> u32 {
    let at = word_index(params.words, i / params.words, i % params.words);
    let before = weight[at];
    let next = (before & ~update.clear_mask) | update.set_mask;
    weight[at] = next;
    return countOneBits(before ^ next);
}

// Writes word `i` and counts its flips.
fn commit_word(i: u32, update: SignUpdate) {
    let flipped = write_word(i, update);
    if (flipped != 0u) {
        atomicAdd(&flips[params.layer], flipped);
    }
}
