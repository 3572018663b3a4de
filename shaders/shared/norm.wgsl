// Parameters and helpers of batch normalisation, with and without a sign after it.
// import: index, step
// limit: 0 < rows

struct Params {
    rows: u32,     // of y: samples * pixels
    columns: u32,  // channels
    integer: u32,  // 1: y holds i32 (a product of bits), 0: f32
    epsilon: f32,
    momentum: f32, // of the running statistics
    pixels: u32,   // rows per sample
    block: u32,    // rows per block of partial sums
    blocks: u32,
}

var<uniform> params: Params;

// Returns the number of rows of a block that hold samples.
fn rows_in(block: u32) -> u32 {
    let end = min(min(step.valid_rows * params.pixels, params.rows), (block + 1u) * params.block);
    return end - min(end, block * params.block);
}
