// squared_hinge: loss[r] = mean_c max(0, 1 - t[c] z[r][c])^2 with targets t = +1 at the label, -1 elsewhere
// (Courbariaux et al. 2016, section 2.1); dz = -2 t max(0, 1 - t z) / (classes * samples in the batch). Rows without a sample have
// loss and gradient 0. A NaN or infinite logit makes the loss NaN or infinite; the maximum with 0 alone would hide it. `correct` counts as
// softmax_cross_entropy does.
// import: logits, bits, index, step

struct Params {
    rows: u32,
    classes: u32,
}

var<uniform> params: Params;

const THREADS: u32 = 64u;

// One row per invocation.
@compute @workgroup_size(THREADS)
fn squared_hinge(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = linear_group(group, groups) * THREADS + local;
    if (!begins(row)) {
        return;
    }
    let classes = loop_bound(params.classes, arrayLength(&z));
    var sum = 0.0;
    var best = 0u;
    for (var c = 0u; c < classes; c++) {
        let value = z[panel_index(params.rows, row, c)];
        let slack = max(0.0, 1.0 - select(-value, value, c == labels[row]));
        sum += select(value, slack * slack, is_finite(value));
        best = better(row, best, c);
    }
    loss[row] = sum / f32(params.classes);
    count_correct(best, labels[row]);
}

// One element per invocation, including tail lanes, which become 0.
@compute @workgroup_size(THREADS)
fn squared_hinge_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i >= arrayLength(&dz)) {
        return;
    }
    let row = (i >> 5u) % params.rows;
    let c = (i >> 5u) / params.rows * 32u + (i & 31u);
    let sign = select(-1.0, 1.0, c == labels[row]);
    let slack = max(0.0, 1.0 - sign * z[i]);
    let value = -2.0 * sign * slack / (f32(params.classes) * f32(step.valid_rows));
    dz[i] = select(0.0, value, c < params.classes && row < step.valid_rows);
}
