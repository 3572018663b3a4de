// unpack_signs: converts bits to the floats -1 and +1, for products with one binary operand; tail lanes become 0.
// unpack_signs:      activations, to panels [columns/32][rows][32].
// unpack_signs_rows: weights, to rows [rows][words * 32].
// import: index
// per panel: x

struct Params {
    rows: u32,
    columns: u32,
}

var<storage, read> bits: array<u32>; // bits, panels [rows/32][columns/32][32]
var<storage, read_write> x: array<f32>; // unpack_signs: [columns/32][rows][32]; unpack_signs_rows: [rows][columns/32 * 32]

// limit: 0 < rows
var<uniform> params: Params;

const THREADS: u32 = 64u;

fn sign_at(row: u32, column: u32) -> f32 {
    let words = (params.columns + 31u) / 32u;
    let word = bits[word_index(words, row, column >> 5u)];
    let sign = select(-1.0, 1.0, ((word >> (column & 31u)) & 1u) == 1u);
    return select(0.0, sign, column < params.columns);
}

// One element per invocation.
@compute @workgroup_size(THREADS)
fn unpack_signs(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&x)) {
        x[i] = sign_at((i >> 5u) % params.rows, (i >> 5u) / params.rows * 32u + (i & 31u));
    }
}

@compute @workgroup_size(THREADS)
fn unpack_signs_rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (i < arrayLength(&x)) {
        let pitch = padded(params.columns);
        x[i] = sign_at(i / pitch, i % pitch);
    }
}
