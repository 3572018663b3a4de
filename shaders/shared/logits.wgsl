// Bindings and counting of correct samples, shared by the losses on logits and labels. Rows without a sample have loss and gradient 0.
// import: index, step

// limit: 0 < rows
// limit: 0 < classes
var<storage, read> z: array<f32>; // logits, [classes/32][rows][32]
var<storage, read> labels: array<u32>; // [rows]
var<storage, read_write> loss: array<f32>; // [rows]
var<storage, read_write> correct: array<atomic<u32>>; // of each class, samples whose first largest logit is the label's, [classes]
var<storage, read_write> dz: array<f32>; // as z

// Returns whether a row holds a sample. Sets the loss of a row without a sample to 0.
fn begins(row: u32) -> bool {
    if (row < params.rows && row >= step.valid_rows) {
        loss[row] = 0.0;
    }
    return row < min(params.rows, step.valid_rows);
}

// Returns `c` if its logit is larger than that of `best`, else `best`.
fn better(row: u32, best: u32, c: u32) -> u32 {
    return select(best, c, z[panel_index(params.rows, row, c)] > z[panel_index(params.rows, row, best)]);
}

// Counts a sample as correct if `best`, the class of its largest logit, is the label. `best` is a valid index even if the label is not.
fn count_correct(best: u32, label: u32) {
    if (best == label) {
        atomicAdd(&correct[best], 1u);
    }
}
