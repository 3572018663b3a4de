// update: applies an optimizer rule to the states of four columns and sets their signs by its decision (positive: -1, negative: +1, exactly 0: the
// weight keeps its sign). Rule and storage are separate pieces; the assembler generates `update_quad`, which combines them.
// import: index, step, bits, failed

struct UpdateParams {
    rows: u32,         // of the weight matrix
    words: u32,        // per row: gradient and states have words * 32 columns
    hyper_offset: u32, // index of the first of the rule's four vec4 in the step's hyperparameters
    layer: u32,        // index of the layer's counters
    layers: u32,       // number of layers with counters
    stream: u32,       // of the random numbers for the stochastic rounding of narrow states
}

// length layers = epilogue.layers
// limit: epilogue.layer < epilogue.layers
// limit: epilogue.hyper_offset + 4 <= 32
// limit: 0 < epilogue.words

var<uniform> epilogue: UpdateParams;

var<storage, read_write> weight: array<u32>;           // bits, panels [epilogue.rows/32][epilogue.words][32]

// Masks of the bits of a word whose weights become -1 (`clear_mask`) and +1 (`set_mask`).
struct SignUpdate {
    clear_mask: u32,
    set_mask: u32,
}

// Returns whether word `i` (in row-major order) is outside the matrix.
fn is_outside(i: u32) -> bool {
    return i / epilogue.words >= epilogue.rows;
}

// Returns the k-th vec4 of the rule's hyperparameters.
fn hyperparameter(k: u32) -> vec4<f32> {
    return step.hyperparameters[epilogue.hyper_offset + k];
}

// Returns the factor that a controller applies to the layer's rate; 1 without a controller.
fn rate_factor() -> f32 {
    return bitcast<f32>(atomicLoad(&counters[2u * epilogue.layers + epilogue.layer]));
}

// Adds to `signs` the decisions of the columns q * 4 to q * 4 + 3.
fn accumulate(signs: SignUpdate, q: u32, decision: vec4<f32>) -> SignUpdate {
    let place = vec4<u32>(1u, 2u, 4u, 8u);
    let off = select(vec4<u32>(0u), place, decision > vec4<f32>(0.0));
    let on = select(vec4<u32>(0u), place, decision < vec4<f32>(0.0));
    let clear_bits = off.x | off.y | off.z | off.w;
    let set_bits = on.x | on.y | on.z | on.w;
    return SignUpdate(signs.clear_mask | (clear_bits << (q * 4u)), signs.set_mask | (set_bits << (q * 4u)));
}

// Applies `signs` to word `i` and counts the flips.
fn commit_word(i: u32, signs: SignUpdate) {
    let at = word_index(epilogue.words, i / epilogue.words, i % epilogue.words);
    let before = weight[at];
    let next = (before & ~signs.clear_mask) | signs.set_mask;
    weight[at] = next;
    if (next != before) {
        atomicAdd(&counters[epilogue.layer], countOneBits(before ^ next));
    }
}

fn count_saturated(count: u32) {
    if (count != 0u) {
        atomicAdd(&counters[epilogue.layers + epilogue.layer], count);
    }
}
