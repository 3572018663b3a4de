// update: the gradient of four columns moves the states of their weights by a rule, and the decision (above 0: the weight becomes -1, below 0: +1,
// exactly 0: it stays) becomes their signs. Rule and storage are other pieces; `update_quad`, which joins them, is written by the assembler.
// import: index, step, bits, failed

var<storage, read_write> weight: array<u32>;           // bits, panels [rows/32][words][32]

// Columns of a word whose weight becomes -1, and +1.
struct SignUpdate {
    clear_mask: u32,
    set_mask: u32,
}

// Whether word `i` (row after row) is beyond the matrix.
fn is_outside(i: u32) -> bool {
    return i / params.words >= params.rows;
}

// The k-th vec4 of the rule's hyperparameters.
fn hyperparameter(k: u32) -> vec4<f32> {
    return step.hyperparameters[params.hyper_offset + k];
}

// What a controller makes of the layer's rate; 1 without one.
fn rate_factor() -> f32 {
    return bitcast<f32>(atomicLoad(&counters[2u * params.layers + params.layer]));
}

// `signs`, and columns q * 4 to q * 4 + 3 by their decision.
fn accumulate(signs: SignUpdate, q: u32, decision: vec4<f32>) -> SignUpdate {
    let place = vec4<u32>(1u, 2u, 4u, 8u);
    let off = select(vec4<u32>(0u), place, decision > vec4<f32>(0.0));
    let on = select(vec4<u32>(0u), place, decision < vec4<f32>(0.0));
    let clear_bits = off.x | off.y | off.z | off.w;
    let set_bits = on.x | on.y | on.z | on.w;
    return SignUpdate(signs.clear_mask | (clear_bits << (q * 4u)), signs.set_mask | (set_bits << (q * 4u)));
}

// Writes word `i` and counts its flips.
fn commit_word(i: u32, signs: SignUpdate) {
    let at = word_index(params.words, i / params.words, i % params.words);
    let before = weight[at];
    let next = (before & ~signs.clear_mask) | signs.set_mask;
    weight[at] = next;
    if (next != before) {
        atomicAdd(&counters[params.layer], countOneBits(before ^ next));
    }
}

fn count_saturated(count: u32) {
    if (count != 0u) {
        atomicAdd(&counters[params.layers + params.layer], count);
    }
}
