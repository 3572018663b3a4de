//! Filters from outside the crate: a WGSL function and a Rust function; the loop, the packing and the counting of flips are ours.

use super::binary::{BinaryRule, StateInit, in_order};
use super::hyperparameter::HyperparameterSpec;
use crate::bits;
use crate::error::{Error, Result};
// Of shaders/shared/weight.wgsl, as every rule's file has it.
use crate::runtime::interface::optim::diode::Params;
use crate::runtime::kernel::{Access, CustomKernel, Kernel, Task};
use crate::tensor::PANEL;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

/// A rule for binary weights that treats every weight alike and by itself, as WGSL; [`ElementwiseFilter::rule`] adds the same in Rust.
///
/// ```
/// # use plusminus::optim::{ElementwiseFilter, HyperparameterSpec, Range, StateInit};
/// const EMA: ElementwiseFilter = ElementwiseFilter {
///     name: "my-ema",
///     doc: "a moving average of the gradient",
///     hyperparameters: &[HyperparameterSpec::new("alpha", "rate of the average", Range::Rate, 1e-3).falling()],
///     states: &[("h", StateInit::Zero)],
///     source: "
///         fn update(g: f32, s: ptr<function, States>, hyperparameters: Hyperparameters) -> f32 {
///             (*s).h += hyperparameters.alpha * (g - (*s).h);
///             return (*s).h;
///         }",
/// };
/// let rule = EMA.rule(|g, [h], [alpha]| {
///     let h = h + alpha * (g - h);
///     ([h], h)
/// })?;
/// let optimizer = rule.with([("alpha", 1e-2)])?;
/// # Ok::<_, plusminus::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ElementwiseFilter {
    /// Name in profiles and errors.
    pub name: &'static str,
    /// What it does, in a line.
    pub doc: &'static str,
    /// Its hyperparameters, at most eight.
    pub hyperparameters: &'static [HyperparameterSpec],
    /// Its states, one to five: the name that follows the parameter's, and the start. `StateInit::Scaled` needs a hyperparameter `state-init-scale`,
    /// `StateInit::Latent` a hyperparameter `init`; those take no schedule.
    pub states: &'static [(&'static str, StateInit)],
    /// WGSL with a function `fn update(g: f32, s: ptr<function, States>, hyperparameters: Hyperparameters) -> f32`: from the gradient of a weight it moves the
    /// states and returns the decision (above 0 the weight becomes -1, below 0 it becomes +1, exactly 0 leaves it). `States` and `Hyperparameters`
    /// are structs of f32 with the names above, `_` for `-`.
    pub source: &'static str,
}

/// Bindings of states, beside those that every rule has: eight storage buffers are promised everywhere.
const MAX_STATES: usize = 5;
/// Numbers in two vec4.
const MAX_HYPERPARAMETERS: usize = 8;

impl ElementwiseFilter {
    /// The rule, with its function in Rust: the gradient, the states and the hyperparameters after their schedules, in the order of the names,
    /// give the new states and the decision. The WGSL is checked here, as [`Kernel::new`] says. Rules live as long as the program.
    pub fn rule<const STATES: usize, const HYPERPARAMETERS: usize>(
        &self,
        update: impl Fn(f32, [f32; STATES], [f32; HYPERPARAMETERS]) -> ([f32; STATES], f32) + Sync + 'static,
    ) -> Result<&'static BinaryRule> {
        self.check([STATES, HYPERPARAMETERS])?;
        let source = self.shader();
        let states: Vec<String> = self.states.iter().map(|(name, _)| format!("state_{}", word(name))).collect();
        let shared = [("g", Access::Read), ("weight", Access::Write), ("flips", Access::Atomic)];
        let bindings: Vec<(&str, Access)> =
            shared.into_iter().chain(states.iter().map(|name| (name.as_str(), Access::Write))).collect();
        let custom = CustomKernel {
            label: self.name,
            source: &source,
            imports: &["index", "step", "weight"],
            entry: "elementwise_filter",
            bindings: &bindings,
            cover: [THREADS, 1, 1],
        };
        let kernel = Kernel::new(&custom, move |task| twin(task, &update))?;
        Ok(Box::leak(Box::new(BinaryRule {
            name: self.name,
            doc: self.doc,
            hyperparameters: self.hyperparameters,
            states: self.states,
            scaled_init: 0.0,
            is_scale_invariant: false,
            is_filter: false,
            paper: &[],
            narrow: None,
            kernel,
            pack: in_order,
        })))
    }

    fn check(&self, of_twin: [usize; 2]) -> Result<()> {
        let wrong = |message: String| Err(Error::Kernel { kernel: self.name.into(), message });
        let given = [self.states.len(), self.hyperparameters.len()];
        if given != of_twin {
            let [states, hyperparameters] = of_twin;
            return wrong(format!(
                "expected {} states and {} hyperparameters in the Rust function, got {states} and {hyperparameters}",
                given[0], given[1]
            ));
        }
        if !(1..=MAX_STATES).contains(&given[0]) || given[1] > MAX_HYPERPARAMETERS {
            return wrong(format!(
                "expected 1 to {MAX_STATES} states and at most {MAX_HYPERPARAMETERS} hyperparameters, got {} and {}",
                given[0], given[1]
            ));
        }
        for (state, start) in self.states {
            if let Some(hyperparameter) = start
                .hyperparameter()
                .filter(|name| self.hyperparameters.iter().all(|hyperparameter| hyperparameter.name != *name))
            {
                return wrong(format!(
                    "expected a hyperparameter `{hyperparameter}` for state `{state}`, which starts by it, got none"
                ));
            }
        }
        Ok(())
    }

    /// The user's text first, so that lines in messages are the user's.
    fn shader(&self) -> String {
        let states: Vec<String> = self.states.iter().map(|(name, _)| word(name)).collect();
        let hyperparameters: Vec<String> =
            self.hyperparameters.iter().map(|hyperparameter| word(hyperparameter.name)).collect();
        let fields = |names: &[String]| match names {
            // A struct has at least one member.
            [] => "    none: f32,\n".to_string(),
            names => names.iter().map(|name| format!("    {name}: f32,\n")).collect(),
        };
        let mut text = format!("{}\n", self.source);
        write!(
            text,
            "struct States {{\n{}}}\nstruct Hyperparameters {{\n{}}}\n",
            fields(&states),
            fields(&hyperparameters)
        )
        .expect("strings grow");
        let (mut load, mut store) = (String::new(), String::new());
        for (i, name) in states.iter().enumerate() {
            let binding = 3 + i;
            writeln!(
                text,
                "@group(0) @binding({binding}) var<storage, read_write> state_{name}: array<vec4<f32>>; // as g"
            )
            .expect("strings grow");
            writeln!(load, "        let old_{name} = state_{name}[at];").expect("strings grow");
            let lanes = LANES.map(|lane| format!("s_{lane}.{name}")).join(", ");
            writeln!(store, "        state_{name}[at] = vec4<f32>({lanes});").expect("strings grow");
        }
        let lane = |lane: &str| {
            let old = states.iter().map(|name| format!("old_{name}.{lane}")).collect::<Vec<_>>().join(", ");
            format!(
                "        var s_{lane} = States({old});\n        decision.{lane} = update(gradient.{lane}, &s_{lane}, hyperparameters);\n"
            )
        };
        let lanes: String = LANES.into_iter().map(lane).collect();
        let values = (0..hyperparameters.len().max(1))
            .map(|i| format!("step.hyperparameters[params.hyper_offset + {}u][{}u]", i / 4, i % 4));
        let values = values.collect::<Vec<_>>().join(", ");
        text + &format!(
            "
@compute @workgroup_size({THREADS})
fn elementwise_filter(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {{
    let i = linear_group(group, groups) * {THREADS}u + local;
    if (is_outside(i)) {{
        return;
    }}
    let hyperparameters = Hyperparameters({values});
    var update = SignUpdate(0u, 0u);
    for (var q = 0u; q < 8u; q++) {{
        let at = i * 8u + q;
        let gradient = g[at];
{load}        var decision = vec4<f32>(0.0);
{lanes}{store}        update = accumulate(update, q, decision);
    }}
    commit_word(i, update);
}}
"
        )
    }
}

/// Invocations of a workgroup; each has a word, 32 columns of a row.
const THREADS: u32 = 64;
const LANES: [&str; 4] = ["x", "y", "z", "w"];

/// A name as WGSL takes it.
fn word(name: &str) -> String {
    name.replace('-', "_")
}

/// A task has a panel of 32 rows.
fn twin<const STATES: usize, const HYPERPARAMETERS: usize>(
    task: &mut Task<'_>,
    update: &impl Fn(f32, [f32; STATES], [f32; HYPERPARAMETERS]) -> ([f32; STATES], f32),
) {
    let Params { words, hyper_offset, layer, .. } = *task.params();
    let hyperparameters = task.step().hyperparameters[hyper_offset as usize..][..2].as_flattened();
    let hyperparameters: [f32; HYPERPARAMETERS] = std::array::from_fn(|i| hyperparameters[i]);
    let first = task.index() * PANEL * PANEL * words as usize;
    let (weight, states): (_, [&mut [f32]; STATES]) =
        (task.write::<u32>(1), std::array::from_fn(|i| task.write(3 + i)));
    let g = &task.read::<f32>(0)[first..][..states[0].len()];
    let flips = bits::current().sweep(0, g, weight, states, |g, states| update(g, states, hyperparameters));
    task.atomic(2)[layer as usize].fetch_add(flips, Ordering::Relaxed);
}
