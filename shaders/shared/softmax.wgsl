// Softmax of rows of logits, and targets with label smoothing.
// import: logits, index

// Returns the largest logit of a row, and the sum of exp((z - largest) / temperature).
fn normaliser(row: u32, temperature: f32) -> vec2<f32> {
    let classes = loop_bound(params.classes, arrayLength(&z));
    var top = z[panel_index(params.rows, row, 0u)];
    for (var c = 1u; c < classes; c++) {
        top = max(top, z[panel_index(params.rows, row, c)]);
    }
    var sum = 0.0;
    for (var c = 0u; c < classes; c++) {
        sum += exp((z[panel_index(params.rows, row, c)] - top) / temperature);
    }
    return vec2<f32>(top, sum);
}

// Returns the target of class c: smoothing / classes, plus 1 - smoothing if c is the label.
fn target_of(c: u32, label: u32) -> f32 {
    return params.smoothing / f32(params.classes) + select(0.0, 1.0 - params.smoothing, c == label);
}
