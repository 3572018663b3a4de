// mean_loss: writes the mean of the rows' losses to the ring of losses, at this step's index. `failed` keeps the first step whose loss is NaN or
// infinite (0xffffffff: none), by an atomic minimum.
// import: bits, index, step

struct Params {
    rows: u32,
    ring: u32, // capacity of the ring: losses kept until they are read back
}

var<storage, read> loss: array<f32>; // [rows]
var<storage, read_write> ring: array<f32>; // losses of the steps between read-backs, [ring]
var<storage, read_write> failed: array<atomic<u32>>; // [1]

// limit: 0 < ring
var<uniform> params: Params;

const THREADS: u32 = 64u;
const COVER: vec3<u32> = vec3<u32>(1u, 1u, 1u);

var<workgroup> sh_sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn mean_loss(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    let rows = loop_bound(params.rows, arrayLength(&loss));
    for (var row = local; row < rows; row += THREADS) {
        sum += loss[row];
    }
    sh_sums[local] = sum;
    workgroupBarrier();
    if (local == 0u) {
        var total = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            total += sh_sums[i];
        }
        total /= f32(step.valid_rows);
        ring[min(step.loss_slot, arrayLength(&ring) - 1u)] = total;
        if (!is_finite(total)) {
            atomicMin(&failed[0], step.step);
        }
    }
}
