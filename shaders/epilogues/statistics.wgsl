// statistics: mean and sum of squared deviations of each block of 32 rows of integers, per channel, in the format of ops/statistics.wgsl. Four
// vertically adjacent invocations form a block. The producer declares INVOCATIONS, the maximum number of invocations per workgroup.
// import: tile, step
// per panel: partial

var<storage, read_write> partial: array<vec4<f32>>; // statistics of the output, [tile_columns/32][tile_rows/32][2][32]

var<workgroup> sh_block: array<vec4<f32>, INVOCATIONS>;

// Returns the sum over the four invocations of a block, in order.
fn sum_block(value: vec4<f32>, local: vec2<u32>, pitch: u32) -> vec4<f32> {
    workgroupBarrier();
    sh_block[local.y * pitch + local.x] = value;
    workgroupBarrier();
    let first = (local.y & ~3u) * pitch + local.x;
    return sh_block[first] + sh_block[first + pitch] + sh_block[first + 2u * pitch] + sh_block[first + 3u * pitch];
}

fn statistics(tile: ptr<function, Tile>, m: Matrix, at: At) {
    let begin = at.first.y & ~31u;
    let n = f32(max(min(m.valid, begin + 32u), begin + 1u) - begin);
    let blocks = (m.rows + 31u) / 32u;
    for (var half = 0u; half < 2u; half++) { // unroll
        var sum = vec4<f32>(0.0);
        for (var r = 0u; r < 8u; r++) { // unroll
            sum += select(vec4<f32>(0.0), vec4<f32>((*tile)[2u * r + half]), at.first.y + r < m.valid);
        }
        let total = sum_block(sum, at.local, at.pitch);
        // The shift is an integer, so squares and their sums are integers: exact below 2^24.
        let shift = trunc(total / n);
        var squares = vec4<f32>(0.0);
        for (var r = 0u; r < 8u; r++) { // unroll
            let d = vec4<f32>((*tile)[2u * r + half]) - shift;
            squares += select(vec4<f32>(0.0), d * d, at.first.y + r < m.valid);
        }
        let deviation = sum_block(squares, at.local, at.pitch);
        if ((at.local.y & 3u) == 0u && at.first.x < m.columns && begin < m.rows) {
            let rest = total - n * shift;
            let to = ((at.first.x >> 5u) * blocks + (begin >> 5u)) * 16u + ((at.first.x & 31u) >> 2u) + half;
            partial[to] = total / n;
            partial[to + 8u] = deviation - rest * rest / n;
        }
    }
}
