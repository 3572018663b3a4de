// Quantisation step (unit) of integer states: a power of two per row, adapted to the row's largest magnitude after the previous step. Above 3/4 of
// MAX_STORED the unit doubles; at MAX_STORED, to which states saturate, it grows 16-fold; below 1/4 it halves; below 1/64 it shrinks 8-fold.
// import: step

// Biased f32 exponents of the units, [states][rows][2] by step mod 2; then the rows' largest magnitudes, [states][rows][3] by step mod 3.
var<storage, read_write> row_state: array<atomic<u32>>; // [states][epilogue.rows][5]

// Unit of the stored state, reciprocal of the unit that this step stores in, and index of the row's largest magnitude in `row_state`.
struct Unit {
    old: f32,
    inverse: f32,
    peak: u32,
}

fn begin_row(state: u32, row: u32, is_first: bool) -> Unit {
    let at = state * epilogue.rows + row;
    let peaks = 2u * STATES * epilogue.rows + at * 3u;
    let old = atomicLoad(&row_state[at * 2u + step.step % 2u]);
    let peak = f32(atomicLoad(&row_state[peaks + (step.step + 2u) % 3u]));
    let up = select(select(0u, 1u, peak > 0.75 * MAX_STORED), 4u, peak >= MAX_STORED);
    let down = select(select(0u, 1u, peak < 0.25 * MAX_STORED), 3u, peak < 0.015625 * MAX_STORED);
    let next = select(min(old + up, 227u), max(old, 27u + down) - down, peak > 0.0 && down > 0u);
    if (is_first) {
        atomicStore(&row_state[at * 2u + (step.step + 1u) % 2u], next);
        atomicStore(&row_state[peaks + (step.step + 1u) % 3u], 0u);
    }
    return Unit(bitcast<f32>(old << 23u), bitcast<f32>((254u - next) << 23u), peaks + step.step % 3u);
}

fn end_row(unit: Unit, peak: f32) {
    atomicMax(&row_state[unit.peak], u32(peak));
}

fn decode(stored: Packed, unit: Unit) -> vec4<f32> {
    return stored_value(stored) * unit.old;
}

fn peak_of(stored: Packed) -> f32 {
    return largest(abs(stored_value(stored)));
}
