// Statistics of integers in the epilogue of the product that makes them: mean and sum of squared deviations of 32 rows, by channel, as
// ops/statistics.wgsl has them. An invocation has 8 rows by 8 columns, and four invocations below each other have a block. The file that imports this
// says how many INVOCATIONS a workgroup has at most, and binds `partial`.
// import: step

var<workgroup> sh_block: array<vec4<f32>, INVOCATIONS>;

// Sum over the four invocations of a block, in order.
fn sum_block(value: vec4<f32>, local: vec2<u32>, pitch: u32) -> vec4<f32> {
    workgroupBarrier();
    sh_block[local.y * pitch + local.x] = value;
    workgroupBarrier();
    let first = (local.y & ~3u) * pitch + local.x;
    return sh_block[first] + sh_block[first + pitch] + sh_block[first + 2u * pitch] + sh_block[first + 3u * pitch];
}

// Rows and (padded) columns of a matrix, and how many of the rows hold samples.
struct Matrix {
    rows: u32,
    columns: u32,
    valid: u32,
}

// `values` are two vec4 a row from column and row `at` on; a row of the workgroup is `pitch` invocations. Every invocation calls this.
fn block_statistics(values: ptr<function, array<vec4<i32>, 16>>, m: Matrix, at: vec2<u32>, local: vec2<u32>, pitch: u32) {
    let begin = at.y & ~31u;
    let n = f32(max(min(m.valid, begin + 32u), begin + 1u) - begin);
    let blocks = (m.rows + 31u) / 32u;
    for (var half = 0u; half < 2u; half++) { // unroll
        var sum = vec4<f32>(0.0);
        for (var r = 0u; r < 8u; r++) { // unroll
            sum += select(vec4<f32>(0.0), vec4<f32>((*values)[2u * r + half]), at.y + r < m.valid);
        }
        let total = sum_block(sum, local, pitch);
        // A whole number: squares and their sums are whole, too, and exact below 2^24.
        let shift = trunc(total / n);
        var squares = vec4<f32>(0.0);
        for (var r = 0u; r < 8u; r++) { // unroll
            let d = vec4<f32>((*values)[2u * r + half]) - shift;
            squares += select(vec4<f32>(0.0), d * d, at.y + r < m.valid);
        }
        let deviation = sum_block(squares, local, pitch);
        if ((local.y & 3u) == 0u && at.x < m.columns && begin < m.rows) {
            let rest = total - n * shift;
            let to = ((at.x >> 5u) * blocks + (begin >> 5u)) * 16u + ((at.x & 31u) >> 2u) + half;
            partial[to] = total / n;
            partial[to + 8u] = deviation - rest * rest / n;
        }
    }
}
