// Units of integer states: a power of two that a row shares and that follows the row's largest size after the step before: above 3/4 of the largest
// integer it doubles, at that integer, which states too large for their unit become, it grows 16 times, below 1/4 it halves, below 1/64 it shrinks 8 times.
// import: step

// Exponents of the units, as in an f32, [states][rows][2] by step mod 2; then the rows' largest sizes, [states][rows][3] by step mod 3.
var<storage, read_write> row_state: array<atomic<u32>>; // [states][rows][5]

// The unit that a row's state is stored in, 1 / the unit that it will be, and where its largest size goes.
struct Unit {
    old: f32,
    inverse: f32,
    peak: u32,
}

fn begin_row(state: u32, row: u32, is_first: bool) -> Unit {
    let at = state * params.rows + row;
    let peaks = 2u * STATES * params.rows + at * 3u;
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
