// The gradient of a convolution of signs by signs for its images: an implicit product, as in conv_bits.wgsl.
// conv_bits_input:        dx(p, c) = sum over taps t and outputs o of dy(sink(p, t), o) * w(t, o, c).
// conv_bits_input_masked: the same where the clip surrogate of the sign that made the images lets it through, 0 elsewhere.
// conv_bits_input_joined: the gradient that another reader of the sign's input gives it is added to that.
// import: conv, index, bits
// pieces: dx

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;       // panels [out_channels/32][out pixels][32]
@group(0) @binding(1) var<storage, read> weight: array<u32>;         // as conv_weights packs them, word by word
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>; // panels [in_channels/32][in pixels][32]
@group(0) @binding(3) var<storage, read> kept: array<u32>;           // mask of the sign, bits, panels [in pixels/32][words][32]
@group(0) @binding(4) var<storage, read> other: array<vec4<f32>>;    // as dx

const COLUMNS: u32 = 8u;
const ROWS: u32 = 4u;
const COVER: vec3<u32> = vec3<u32>(COLUMNS * 8u, ROWS * 8u, 1u);

struct Sums {
    left: array<vec4<f32>, 8>,
    right: array<vec4<f32>, 8>,
}

fn in_rows() -> u32 {
    return params.batch * params.in_height * params.in_width;
}

// An invocation of each entry has 8 rows by 8 columns, if it has any.
fn is_inside(id: vec2<u32>) -> bool {
    return id.y * 8u < in_rows() && id.x * 8u < padded(params.in_channels);
}

fn product(row: u32, column: u32) -> Sums {
    let rows = in_rows();
    let out_rows = params.batch * params.out_height * params.out_width;
    let panels = loop_bound(padded(params.out_channels) / params.groups / 32u, arrayLength(&weight));
    let kernel_height = loop_bound(params.kernel_height, arrayLength(&weight));
    let kernel_width = loop_bound(params.kernel_width, arrayLength(&weight));
    let first_panel = (column >> 5u) / params.words * panels;
    let word = (column >> 5u) % params.words;
    let shift = column & 31u;
    var places: array<Place, 8>;
    for (var r = 0u; r < 8u; r++) { // unroll
        places[r] = in_place(min(row + r, rows - 1u));
    }
    var sums: Sums;
    for (var ky = 0u; ky < kernel_height; ky++) {
        for (var kx = 0u; kx < kernel_width; kx++) {
            let tap = ky * kernel_width + kx;
            var first: array<u32, 8>;
            var keep: array<f32, 8>;
            for (var r = 0u; r < 8u; r++) { // unroll
                let pixel = sink(places[r], ky, kx);
                first[r] = select(pixel, 0u, pixel == ABSENT);
                keep[r] = select(1.0, 0.0, pixel == ABSENT);
            }
            for (var panel = first_panel; panel < first_panel + panels; panel++) {
                for (var q = 0u; q < 8u; q++) {
                    let at_bits = ((panel * taps() + tap) * params.words + word) * 32u + q * 4u;
                    var l: array<vec4<f32>, 4>;
                    var r: array<vec4<f32>, 4>;
                    for (var t = 0u; t < 4u; t++) { // unroll
                        let bits = weight[at_bits + t];
                        l[t] = signs_of(bits, shift);
                        r[t] = signs_of(bits, shift + 4u);
                    }
                    for (var i = 0u; i < 8u; i++) { // unroll
                        let v = dy[(panel * out_rows + first[i]) * 8u + q] * keep[i];
                        sums.left[i] += v.x * l[0] + v.y * l[1] + v.z * l[2] + v.w * l[3];
                        sums.right[i] += v.x * r[0] + v.y * r[1] + v.z * r[2] + v.w * r[3];
                    }
                }
            }
        }
    }
    for (var i = 0u; i < 8u; i++) { // unroll
        sums.left[i] = inside(sums.left[i], column, params.in_channels);
        sums.right[i] = inside(sums.right[i], column + 4u, params.in_channels);
    }
    return sums;
}

fn store(sums: Sums, id: vec2<u32>) {
    for (var i = 0u; i < 8u; i++) { // unroll
        let row = id.y * 8u + i;
        if (row < in_rows()) {
            let at = panel_index(in_rows(), row, id.x * 8u) / 4u;
            dx[at] = sums.left[i];
            dx[at + 1u] = sums.right[i];
        }
    }
}

// The product where the mask is set; its panels are whole.
fn masked_product(id: vec2<u32>) -> Sums {
    var sums = product(id.y * 8u, id.x * 8u);
    let shift = (id.x * 8u) & 31u;
    for (var i = 0u; i < 8u; i++) { // unroll
        let word = kept[word_index((params.in_channels + 31u) / 32u, id.y * 8u + i, id.x >> 2u)];
        sums.left[i] = where_set(sums.left[i], word, shift);
        sums.right[i] = where_set(sums.right[i], word, shift + 4u);
    }
    return sums;
}

@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits_input(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    if (is_inside(id)) {
        store(product(id.y * 8u, id.x * 8u), id);
    }
}

@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits_input_masked(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    if (is_inside(id)) {
        store(masked_product(id), id);
    }
}

@compute @workgroup_size(COLUMNS, ROWS)
fn conv_bits_input_joined(@builtin(global_invocation_id) invocation: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let id = folded(invocation, groups, ROWS);
    if (!is_inside(id)) {
        return;
    }
    var sums = masked_product(id);
    for (var i = 0u; i < 8u; i++) { // unroll
        let row = id.y * 8u + i;
        if (row < in_rows()) {
            let at = panel_index(in_rows(), row, id.x * 8u) / 4u;
            sums.left[i] += other[at];
            sums.right[i] += other[at + 1u];
        }
    }
    store(sums, id);
}
