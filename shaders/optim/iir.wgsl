// iir: any recursive filter with gain 1 at frequency 0, as sections of second order in a row, in transposed direct form II with the delta operator
// z - 1 in the place of z (Middleton and Goodwin 1986), so that slow poles lose no digits in f32. For each section, of coefficients b0, b1, a1, a2:
//   y = b0 u + p,  p += q + b1 u - a1 y,  q += a2 (u - y);   u is the gradient, then the y of the section before.
//   weight = -1 where the last y > 0, +1 where y < 0, unchanged where y = 0.
// Hyperparameters: a vec4 (b0, b1, a1, a2) a section.
// import: weight

@group(0) @binding(3) var<storage, read_write> s: array<vec4<f32>>; // p and q of each section, rows [rows][2 sections][words * 32]

// Words that a workgroup has, one an invocation.
const THREADS: u32 = 64u;

// Columns q * 4 to q * 4 + 3 of word `i`; `first` is their place in the row's first state, and `pitch` the length of a state's row.
fn iir_at(i: u32, first: u32, pitch: u32, sections: u32) -> vec4<f32> {
    var u = g[i];
    for (var k = 0u; k < sections; k++) {
        let c = step.hyperparameters[params.hyper_offset + k];
        let at = first + 2u * k * pitch;
        let p = s[at];
        let q = s[at + pitch];
        let y = c.x * u + p;
        s[at] = p + (q + c.y * u - c.z * y);
        s[at + pitch] = q + c.w * (u - y);
        u = y;
    }
    return u;
}

@compute @workgroup_size(THREADS)
fn iir(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    let sections = arrayLength(&s) / (2u * arrayLength(&g));
    let pitch = params.words * 8u;
    let first = i / params.words * 2u * sections * pitch + i % params.words * 8u;
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        update = accumulate(update, q, iir_at(i * 8u + q, first + q, pitch, sections));
    }
    commit_word(i, update);
}
