// join_dropped: the product with signs dropped with probability p: (tile + other_product) / (2 (1 - p)), where the tile and `other_product` are the
// products with the two copies of ops/drop_signs.wgsl. The sum of integers is exact.
// import: tile, index

struct JoinParams {
    scale: f32, // 1 / (2 (1 - p))
}

var<uniform> epilogue: JoinParams;

var<storage, read> other_product: array<vec4<i32>>; // panels [tile_columns/32][tile_rows][32]
var<storage, read_write> joined: array<vec4<f32>>; // panels [tile_columns/32][tile_rows][32]

fn join_dropped(tile: ptr<function, Tile>, m: Matrix, at: At) {
    for (var r = 0u; r < 8u; r++) { // unroll
        if (in_matrix(m, at, r)) {
            let to = panel_index(m.rows, at.first.y + r, at.first.x) / 4u;
            joined[to] = vec4<f32>((*tile)[2u * r] + other_product[to]) * epilogue.scale;
            joined[to + 1u] = vec4<f32>((*tile)[2u * r + 1u] + other_product[to + 1u]) * epilogue.scale;
        }
    }
}
