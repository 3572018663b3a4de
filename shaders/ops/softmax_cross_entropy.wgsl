// softmax_cross_entropy: loss[r] = log(sum_c exp z[r][c]) - sum_c t[c] z[r][c], targets t smoothed: (1 - e) at the label, e / classes
// everywhere (Szegedy et al. 2016, section 7); dz = (softmax(z) - t) / samples in the batch. Rows without a sample have loss and
// gradient 0. `correct` counts, by class, the samples whose first largest logit is the label's.
// import: softmax, logits, index, step

struct Params {
    rows: u32,
    classes: u32,
    smoothing: f32, // e
}

var<uniform> params: Params;

const THREADS: u32 = 64u;

// An invocation has one row.
@compute @workgroup_size(THREADS)
fn softmax_cross_entropy(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = linear_group(group, groups) * THREADS + local;
    if (!begins(row)) {
        return;
    }
    let norm = normaliser(row, 1.0);
    let label = labels[row];
    let classes = loop_bound(params.classes, arrayLength(&z));
    var expected = 0.0;
    var best = 0u;
    for (var c = 0u; c < classes; c++) {
        let value = z[panel_index(params.rows, row, c)];
        expected += target_of(c, label) * (value - norm.x);
        best = better(row, best, c);
    }
    loss[row] = log(norm.y) - expected;
    count_correct(best, label);
}

// An invocation has one row, tail lanes too (they are 0).
@compute @workgroup_size(THREADS)
fn softmax_cross_entropy_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = linear_group(group, groups) * THREADS + local;
    if (row >= params.rows) {
        return;
    }
    let lanes = loop_bound(padded(params.classes), arrayLength(&z));
    let inside = row < step.valid_rows;
    let norm = normaliser(row, 1.0);
    let share = 1.0 / f32(step.valid_rows);
    for (var c = 0u; c < lanes; c++) {
        let i = panel_index(params.rows, row, c);
        let value = (exp(z[i] - norm.x) / norm.y - target_of(c, labels[row])) * share;
        dz[i] = select(0.0, value, inside && c < params.classes);
    }
}
