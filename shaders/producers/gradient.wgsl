// gradient: reads the gradient of binary weights from memory, for the epilogue `update`. It has no parameters beyond those of the epilogue.
// update_words: one word (32 columns of one row) per invocation, without a barrier; fastest on software adapters.
// update_quads: four columns per invocation, so that memory accesses are coalesced; words are assembled in workgroup memory.
// import: index, step
// epilogues: update

var<storage, read> g: array<vec4<f32>>; // gradient, rows [epilogue.rows][epilogue.words * 32]

const THREADS: u32 = 64u;
const WORDS: u32 = 8u; // THREADS / 8
const COVER_update_words: vec3<u32> = vec3<u32>(THREADS, 1u, 1u);
const COVER_update_quads: vec3<u32> = vec3<u32>(WORDS, 1u, 1u);

var<workgroup> sh_clear: array<u32, THREADS>;
var<workgroup> sh_set: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn update_words(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = linear_group(group, groups) * THREADS + local;
    if (is_outside(i)) {
        return;
    }
    var at = begin_update();
    begin_update_row(&at, i / epilogue.words, i % epilogue.words == 0u);
    var signs = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) { // unroll
        signs = accumulate(signs, q, update_quad(g[i * 8u + q], i * 8u + q, random_bits(i, q), &at));
    }
    end_update_row(&at);
    end_update(at);
    commit_word(i, signs);
}

@compute @workgroup_size(THREADS)
fn update_quads(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let quad = linear_group(group, groups) * THREADS + local;
    let i = quad / 8u;
    let q = local % 8u;
    var signs = SignUpdate(0u, 0u);
    if (!is_outside(i)) {
        var at = begin_update();
        begin_update_row(&at, i / epilogue.words, quad % (epilogue.words * 8u) == 0u);
        signs = accumulate(signs, q, update_quad(g[quad], quad, random_bits(i, q), &at));
        end_update_row(&at);
        end_update(at);
    }
    sh_clear[local] = signs.clear_mask;
    sh_set[local] = signs.set_mask;
    workgroupBarrier();
    if (q == 0u && !is_outside(i)) {
        for (var k = 1u; k < 8u; k++) { // unroll
            signs.clear_mask |= sh_clear[local + k];
            signs.set_mask |= sh_set[local + k];
        }
        commit_word(i, signs);
    }
}
