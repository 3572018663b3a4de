//! Kernel benchmarks: operands, the recording of one call, and the plain definition that checks the result.

use super::bench_case::{Case, Check, IDS, Record, compare, floats, places, sign};
use super::bench_convolutions::{conv_bits, conv_gradient};
use crate::nn::Tensor;
use crate::ops::{FloatBits, FloatBitsTransposed, XnorMatmul};
use crate::optim::{
    BINARY_RULES, BinaryRule, CEMA, Decision, Hyperparameters, Optimizer, State, StateInit, StateType, first_counters,
};
use crate::runtime::{Access, BufferId, CustomKernel, Grid, Kernel, Recording, Task};
use crate::tensor::{BitMatrix, Layout, PANEL, Stream, TensorType, number_at, words_of};

/// A case by name. It is created when it is measured, since operands are large.
pub type Named = (&'static str, Box<dyn Fn() -> Case>);

/// Returns every case: products of `size`^3, convolutions of `size`/8 channels, filters of (4 `size`)^2 weights.
pub fn cases(size: usize) -> Vec<Named> {
    let mut all: Vec<Named> = vec![
        ("xnor_matmul", Box::new(move || xnor(size))),
        ("float_bits", Box::new(move || float_bits(size))),
        ("float_bits_transposed", Box::new(move || float_bits_transposed(size))),
        ("conv_bits", Box::new(move || conv_bits(size / 8))),
        ("conv_bits_input", Box::new(move || conv_gradient(size / 8, false))),
        ("conv_bits_weight", Box::new(move || conv_gradient(size / 8, true))),
        ("cascade", Box::new(move || cascade(4 * size))),
        ("same_bytes", Box::new(move || same_bytes("same_bytes", 2, 4 * size))),
        ("same_bytes_1", Box::new(move || same_bytes("same_bytes_1", 1, 4 * size))),
        ("same_bytes_3", Box::new(move || same_bytes("same_bytes_3", 3, 4 * size))),
    ];
    for (name, state) in
        [("cascade_f16", StateType::F16), ("cascade_i16", StateType::I16), ("cascade_i8", StateType::I8)]
    {
        all.push((name, Box::new(move || narrow(name, state, 4 * size))));
    }
    // `cema` is measured as `cascade`.
    for other in BINARY_RULES.into_iter().filter(|rule| rule.name != CEMA.name) {
        all.push((other.name, Box::new(move || rule(other, 4 * size))));
    }
    all
}

fn bits(size: usize, name: &str) -> BitMatrix {
    BitMatrix::random(size, size, Stream::new(1, name))
}

fn product(name: &'static str, size: usize, operands: Vec<Vec<u32>>, record: Record, check: Check) -> Case {
    let work = 2.0 * (size as f64).powi(3);
    Case {
        name,
        shape: [size; 3],
        work,
        is_product: true,
        operands,
        hyperparameters: Hyperparameters::default(),
        record,
        check,
    }
}

fn xnor(size: usize) -> Case {
    let (a, w) = (bits(size, "a"), bits(size, "w"));
    let operands = vec![a.panels().to_vec(), w.panels().to_vec(), vec![0; size * size]];
    let record = move |recording: &mut Recording| XnorMatmul::dispatch(recording, [IDS[0], IDS[1], IDS[2]], [size; 3]);
    let check = move |words: &[Vec<u32>]| {
        places(size).try_for_each(|(r, c)| {
            let expected = (0..size).map(|k| sign(&a, r, k) * sign(&w, c, k)).sum();
            compare((r, c), f64::from(words[2][number_at(size, r, c)].cast_signed()), expected, 0.0)
        })
    };
    product("xnor_matmul", size, operands, Box::new(record), Box::new(check))
}

fn float_bits(size: usize) -> Case {
    let (x, w) = (floats(size * size, "x"), bits(size, "w"));
    let operands = vec![x.clone(), w.panels().to_vec(), vec![0; size * size]];
    let record = move |recording: &mut Recording| FloatBits::dispatch(recording, [IDS[0], IDS[1], IDS[2]], [size; 3]);
    let check = move |words: &[Vec<u32>]| {
        places(size).try_for_each(|(r, c)| {
            let expected =
                (0..size).map(|k| f64::from(f32::from_bits(x[number_at(size, r, k)])) * sign(&w, k, c)).sum();
            compare((r, c), f64::from(f32::from_bits(words[2][number_at(size, r, c)])), expected, 1e-6 * size as f64)
        })
    };
    product("float_bits", size, operands, Box::new(record), Box::new(check))
}

fn float_bits_transposed(size: usize) -> Case {
    let (x, a) = (floats(size * size, "x"), bits(size, "a"));
    let operands = vec![x.clone(), a.panels().to_vec(), vec![0; size * size]];
    let record =
        move |recording: &mut Recording| FloatBitsTransposed::dispatch(recording, [IDS[0], IDS[1], IDS[2]], [size; 3]);
    let check = move |words: &[Vec<u32>]| {
        places(size).try_for_each(|(r, c)| {
            let expected =
                (0..size).map(|k| f64::from(f32::from_bits(x[number_at(size, k, r)])) * sign(&a, k, c)).sum();
            compare((r, c), f64::from(f32::from_bits(words[2][r * size + c])), expected, 1e-6 * size as f64)
        })
    };
    product("float_bits_transposed", size, operands, Box::new(record), Box::new(check))
}

fn cascade(size: usize) -> Case {
    let weights = size * size;
    let (g, m, h) = (floats(weights, "g"), floats(weights, "m"), floats(weights, "h"));
    let (alpha, gamma) = (0.25_f32, 0.5_f32);
    let operands = vec![g.clone(), vec![0; size * words_of(size)], first_counters(1), m.clone(), h.clone()];
    let node = CEMA.with::<f32>([]).expect("defaults are in range").node("w", 0, 0);
    let record = move |recording: &mut Recording| node.dispatch(recording, &IDS, [size; 2], 1);
    let check = move |words: &[Vec<u32>]| {
        places(size).try_for_each(|(r, c)| {
            let [g, m, h] = [&g, &m, &h].map(|v| f32::from_bits(v[r * size + c]));
            let m = m + gamma * (g - m);
            let h = h + alpha * (m - h);
            let bit = words[1][((r / PANEL) * words_of(size) + c / PANEL) * PANEL + r % PANEL] >> (c % PANEL) & 1;
            compare((r, c), f64::from(f32::from_bits(words[4][r * size + c])), f64::from(h), 1e-6)?;
            compare((r, c), f64::from(bit), f64::from(u8::from(h < 0.0)), if h.abs() < 1e-6 { 1.0 } else { 0.0 })
        })
    };
    Case {
        name: "cascade",
        shape: [size, size, 1],
        work: weights as f64,
        is_product: false,
        operands,
        hyperparameters: [[alpha, gamma, 0.0, 0.0], [0.0; 4], [0.0; 4], [0.0; 4]],
        record: Box::new(record),
        check: Box::new(check),
    }
}

/// Returns the cascade with narrow states. The check: the second state follows the rule up to rounding, and the new bits follow its sign.
fn narrow(name: &'static str, state: StateType, size: usize) -> Case {
    // Magnitudes as in training: gradients of about 1e-5, slow states much smaller.
    const SIZE: f32 = 1.0 / 65536.0;
    let (weights, is_float) = (size * size, state == StateType::F16);
    let made = CEMA.with::<f32>([]).and_then(|made| made.with_state(state)).expect("the cascade has them");
    // With this unit the largest integer is twice the largest gradient.
    let exponent = (SIZE.to_bits() >> 23) + 2 - 8 * state.bytes() as u32;
    let unit = if is_float { StateType::HALF_UNIT } else { f32::from_bits(exponent << 23) };
    let times = |name: &str, factor: f32| -> Vec<f32> {
        floats(weights, name).into_iter().map(|word| factor * f32::from_bits(word)).collect()
    };
    let (g, m, h) = (times("g", SIZE), times("m", SIZE / unit), times("h", SIZE / 32.0 / unit));
    let ty = TensorType::new(state.dtype(), Layout::Rows, &[size, size]);
    let words = |data: &[f32]| {
        Tensor::Floats { shape: vec![size, size], data: data.to_vec() }.to_words(&ty).expect("made for this type")
    };
    let mut operands = vec![g.iter().map(|g| g.to_bits()).collect(), vec![0; size * words_of(size)], first_counters(1)];
    if !is_float {
        operands.push([vec![exponent; 4 * size], vec![0; 6 * size]].concat());
    }
    operands.extend([&m, &h].map(|data| words(data)));
    let second = operands.len() - 1;
    let (node, tensors) = (made.node("w", 0, 0), (0..operands.len() as u32).map(BufferId).collect::<Vec<_>>());
    let record = move |recording: &mut Recording| node.dispatch(recording, &tensors, [size; 2], 1);
    let hyperparameters = made.hyperparameters(0, 1);
    let check = move |words: &[Vec<u32>]| {
        let Some(Tensor::Floats { data, .. }) = Tensor::from_words(&ty, &words[second]) else {
            unreachable!("states in rows")
        };
        let [alpha, gamma, ..] = hyperparameters[0];
        places(size).try_for_each(|(r, c)| {
            let at = r * size + c;
            let first = m[at] + gamma * (g[at] / unit - m[at]);
            let expected = h[at] + alpha * (first - h[at]);
            // Rounding of the stored initial state, and of the result.
            let rounding =
                if is_float { (expected.abs() + alpha * first.abs()) / 256.0 + 2_f32.powi(-22) } else { 2.0 };
            compare((r, c), f64::from(data[at]), f64::from(expected), f64::from(rounding))?;
            let bit = words[1][((r / PANEL) * words_of(size) + c / PANEL) * PANEL + r % PANEL] >> (c % PANEL) & 1;
            compare(
                (r, c),
                f64::from(bit),
                f64::from(u8::from(data[at] < 0.0)),
                if data[at] == 0.0 { 1.0 } else { 0.0 },
            )
        })
    };
    Case {
        name,
        shape: [size, size, 1],
        work: weights as f64,
        is_product: false,
        operands,
        hyperparameters,
        record: Box::new(record),
        check: Box::new(check),
    }
}

/// Returns any other rule at its defaults. The check: the new bits follow the decision, which is a state or the output of a filter.
fn rule(rule: &'static BinaryRule, size: usize) -> Case {
    let weights = size * size;
    let made = rule.with::<f32>([]).expect("defaults are in range");
    let (node, hyperparameters) = (made.node("w", 0, 0), made.hyperparameters(0, 1));
    let planes = node.planes;
    let is_square = |name: &str| name == "v";
    let state = |state: &State| {
        let clear = if is_square(state.name) { 1 << 31 } else { 0 };
        floats(planes * weights, state.name).into_iter().map(|word| word & !clear).collect()
    };
    let first = [floats(weights, "g"), vec![0; size * words_of(size)], first_counters(1)];
    let operands: Vec<Vec<u32>> = first.into_iter().chain(rule.states.iter().map(state)).collect();
    let tensors: Vec<BufferId> = (0..operands.len() as u32).map(BufferId).collect();
    let record = move |recording: &mut Recording| node.dispatch(recording, &tensors, [size; 2], 1);
    let decision = made.decision().expect("every rule has states");
    // The output of a filter with one biquad, y = b0 g + p.
    let (g, s) = (operands[0].clone(), operands[3].clone());
    let output = move |r: usize, c: usize| {
        let [g, p] = [g[r * size + c], s[r * planes * size + c]].map(|word| f64::from(f32::from_bits(word)));
        f64::from(hyperparameters[0][0]) * g + p
    };
    let check = move |words: &[Vec<u32>]| {
        places(size).try_for_each(|(r, c)| {
            let (decides, is_latent) = match decision {
                Decision::State { place, .. } => {
                    let state = f32::from_bits(words[3 + place][r * size + c]);
                    (f64::from(state), rule.states[place].init == StateInit::Latent)
                }
                Decision::Output { .. } => (output(r, c), false),
            };
            let bit = words[1][((r / PANEL) * words_of(size) + c / PANEL) * PANEL + r % PANEL] >> (c % PANEL) & 1;
            let expected = if is_latent { decides > 0.0 } else { decides < 0.0 };
            let allowed = if decides.abs() < 1e-3 { 1.0 } else { 0.0 };
            compare((r, c), f64::from(bit), f64::from(u8::from(expected)), allowed)
        })
    };
    Case {
        name: rule.name,
        shape: [size, size, 1],
        work: weights as f64,
        is_product: false,
        operands,
        hyperparameters,
        record: Box::new(record),
        check: Box::new(check),
    }
}

/// Number of elements per block; the block of gradients stays in the L1 cache for all states.
const BLOCK: usize = 1024;

/// Returns a reference for rules: a plain loop with the memory traffic of a rule with `states` states, without packing or counting.
fn same_bytes(name: &'static str, states: usize, size: usize) -> Case {
    let (weights, chunk) = (size * size, PANEL * size);
    let operands: Vec<Vec<u32>> = (0..=states).map(|i| floats(weights, &i.to_string())).collect();
    let binding = |i: usize| format!("@group(0) @binding({i}) var<storage, read_write> s{i}: array<vec4<f32>>;");
    let update = |i: usize| format!("s{i}[i] += 0.5 * (g[i] - s{i}[i]);");
    let source = format!(
        "@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
        {}
        @compute @workgroup_size(64)
        fn same_bytes(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {{
            let i = linear_group(group, groups) * 64u + local;
            if (i < arrayLength(&s1)) {{ {} }}
        }}",
        (1..=states).map(binding).collect::<String>(),
        (1..=states).map(update).collect::<String>()
    );
    let names = ["g", "s1", "s2", "s3"];
    let access = |(i, name): (usize, &&'static str)| (*name, if i == 0 { Access::Read } else { Access::Write });
    let bindings: Vec<(&str, Access)> = names[..=states].iter().enumerate().map(access).collect();
    let custom = CustomKernel {
        label: name,
        source: &source,
        imports: &["index"],
        entry: "same_bytes",
        bindings: &bindings,
        cover: [256, 1, 1],
    };
    let twin = move |task: &mut Task<'_>| {
        let g = &task.read::<f32>(0)[task.index() * chunk..];
        let mut states: Vec<&mut [f32]> = (1..=states).map(|state| task.write(state)).collect();
        // Blocked, so that the gradient is read from memory only once.
        for at in (0..states[0].len()).step_by(BLOCK) {
            for state in &mut states {
                let (state, g) = (state[at..].iter_mut().take(BLOCK), &g[at..]);
                state.zip(g).for_each(|(state, g)| *state += 0.5 * (g - *state));
            }
        }
    };
    let kernel = Kernel::new(&custom, twin).expect("it is right");
    let record = move |recording: &mut Recording| {
        let written = (1..=states as u32).map(|i| BufferId(i).per_task(chunk));
        let buffers = [IDS[0].into()].into_iter().chain(written).collect();
        recording.dispatch_raw(kernel, Vec::new(), buffers, Grid::Linear(weights as u64), weights.div_ceil(chunk));
    };
    let (g, s) = (operands[0].clone(), operands[states].clone());
    let check = move |words: &[Vec<u32>]| {
        places(size).try_for_each(|(r, c)| {
            let [g, s] = [&g, &s].map(|v| f64::from(f32::from_bits(v[r * size + c])));
            let got = f64::from(f32::from_bits(words[states][r * size + c]));
            compare((r, c), got, s + 0.5 * (g - s), 1e-6)
        })
    };
    Case {
        name,
        shape: [size, size, 1],
        work: weights as f64,
        is_product: false,
        operands,
        hyperparameters: Hyperparameters::default(),
        record: Box::new(record),
        check: Box::new(check),
    }
}
