// What batch normalisation has with and without the sign behind it: its parameters, and which rows of a block hold samples.
// import: index, step
// limit: 0 < rows

struct Params {
    rows: u32,     // of y: samples times pixels
    columns: u32,  // channels
    integer: u32,  // 1: y holds the i32 of a product of bits, 0: f32
    epsilon: f32,
    momentum: f32, // of the running statistics
    pixels: u32,   // rows of a sample
    block: u32,    // rows of a block of partial sums
    blocks: u32,
}

var<uniform> params: Params;

// Rows of a block that hold samples.
fn rows_in(block: u32) -> u32 {
    let end = min(min(step.valid_rows * params.pixels, params.rows), (block + 1u) * params.block);
    return end - min(end, block * params.block);
}
