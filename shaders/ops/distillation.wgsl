// distillation: weighted sum of the cross-entropy against labels (softmax_cross_entropy) and against a teacher's softmax at temperature T,
// loss[r] = (1 - w) CE(z, labels) + w T^2 (-sum_c softmax(t / T)[c] log softmax(z / T)[c])   (Hinton et al. 2015, section 2),
// dz = ((1 - w) (softmax(z) - target) + w T (softmax(z / T) - softmax(t / T))) / samples. With w = 1 and T = 1 it is ReActNet's loss.
// import: softmax, logits, index, step

struct Params {
    rows: u32,
    classes: u32,
    smoothing: f32,   // label smoothing
    weight: f32,      // w, weight of the teacher's term
    temperature: f32, // T
}

var<storage, read> teacher: array<f32>; // logits, [classes/32][rows][32]

var<uniform> params: Params;

const THREADS: u32 = 64u;

// Computes `normaliser` for the teacher. A copy, because WGSL functions do not take pointers to storage.
fn teacher_norm(row: u32) -> vec2<f32> {
    let classes = loop_bound(params.classes, arrayLength(&teacher));
    var top = teacher[panel_index(params.rows, row, 0u)];
    for (var c = 1u; c < classes; c++) {
        top = max(top, teacher[panel_index(params.rows, row, c)]);
    }
    var sum = 0.0;
    for (var c = 0u; c < classes; c++) {
        sum += exp((teacher[panel_index(params.rows, row, c)] - top) / params.temperature);
    }
    return vec2<f32>(top, sum);
}

// One row per invocation.
@compute @workgroup_size(THREADS)
fn distillation(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = linear_group(group, groups) * THREADS + local;
    if (!begins(row)) {
        return;
    }
    let plain = normaliser(row, 1.0);
    let warm = normaliser(row, params.temperature);
    let taught = teacher_norm(row);
    let label = labels[row];
    let classes = loop_bound(params.classes, arrayLength(&z));
    var by_label = 0.0;
    var by_teacher = 0.0;
    var best = 0u;
    for (var c = 0u; c < classes; c++) {
        let i = panel_index(params.rows, row, c);
        by_label += target_of(c, label) * (z[i] - plain.x);
        by_teacher += exp((teacher[i] - taught.x) / params.temperature) / taught.y * ((z[i] - warm.x) / params.temperature);
        best = better(row, best, c);
    }
    let squared = params.temperature * params.temperature;
    loss[row] = (1.0 - params.weight) * (log(plain.y) - by_label) + params.weight * squared * (log(warm.y) - by_teacher);
    count_correct(best, label);
}

// One row per invocation, including tail lanes, which become 0.
@compute @workgroup_size(THREADS)
fn distillation_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = linear_group(group, groups) * THREADS + local;
    if (row >= params.rows) {
        return;
    }
    let plain = normaliser(row, 1.0);
    let warm = normaliser(row, params.temperature);
    let taught = teacher_norm(row);
    let lanes = loop_bound(padded(params.classes), arrayLength(&z));
    let inside = row < step.valid_rows;
    for (var c = 0u; c < lanes; c++) {
        let i = panel_index(params.rows, row, c);
        let by_label = exp(z[i] - plain.x) / plain.y - target_of(c, labels[row]);
        let student = exp((z[i] - warm.x) / params.temperature) / warm.y;
        let by_teacher = student - exp((teacher[i] - taught.x) / params.temperature) / taught.y;
        let value = (1.0 - params.weight) * by_label + params.weight * params.temperature * by_teacher;
        dz[i] = select(0.0, value / f32(step.valid_rows), inside && c < params.classes);
    }
}
