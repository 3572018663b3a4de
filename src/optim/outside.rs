//! Rules from outside the crate: a WGSL function and a Rust function. The crate supplies the loop, the storage, the packing and the count of
//! flips.

use super::hyperparameter::HyperparameterSpec;
use super::rule::{BinaryRule, GRADIENT, RuleKernel, State, StateInit, in_order};
use super::storage::StateType;
use super::update::twin;
use crate::bits;
use crate::error::{Error, Result};
use crate::runtime::interface::{MAX_FUSED_STATES, UPDATES, for_each_storage};
use crate::runtime::kernel::Updates;
use crate::runtime::{Kernel, Task};

/// An elementwise rule for binary weights in WGSL; [`ElementwiseFilter::rule`] adds its implementation in Rust. It is composed with the
/// same loops and storage as the rules of this crate.
///
/// ```
/// # use plusminus::optim::{ElementwiseFilter, HyperparameterSpec, Range, StateInit, StateType};
/// const EMA: ElementwiseFilter = ElementwiseFilter {
///     name: "my-ema",
///     doc: "a moving average of the gradient",
///     hyperparameters: &[HyperparameterSpec::new("alpha", "rate of the average", Range::Rate, 1e-3).falling()],
///     states: &[("h", StateInit::Zero)],
///     storage: &StateType::ALL,
///     source: "
///         fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32 {
///             (*s).h += hyper.alpha * (g - (*s).h);
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
    /// Description in one line.
    pub doc: &'static str,
    /// Its hyperparameters, at most 16. A layer's rate controller (`--target-flip-ratio`) multiplies the first.
    pub hyperparameters: &'static [HyperparameterSpec],
    /// Its states, one to four: name suffix after the parameter's, and initial content. `StateInit::Scaled` requires a hyperparameter
    /// `state-init-scale`, `StateInit::Latent` a hyperparameter `init`; neither may have a schedule.
    pub states: &'static [(&'static str, StateInit)],
    /// Types in which its states may be stored, f32 first. With a narrow type the weight is the sign of a stored state, so narrow types are
    /// valid only for rules whose decision is a state.
    pub storage: &'static [StateType],
    /// WGSL with a function `fn update(g: f32, s: ptr<function, States>, hyper: Hyperparameters) -> f32`. It updates the states from the
    /// gradient of a weight and returns the decision (above 0 the weight becomes -1, below 0 it becomes +1, exactly 0 keeps it). `States`
    /// and `Hyperparameters` are structs of f32 with the names above, `_` for `-`. Its other functions need names that
    /// `shaders/epilogues/update.wgsl` and its imports do not use. If a product uses one of them, gradients are stored before the update.
    pub source: &'static str,
}

/// Maximum number of states: every device supports eight storage buffers, and gradient, weight, counters and row state take four.
const MAX_STATES: usize = 4;
/// Numbers in four vec4.
const MAX_HYPERPARAMETERS: usize = 16;

impl ElementwiseFilter {
    /// Returns the rule with its function in Rust. The function receives the gradient, the states and the hyperparameters after their
    /// schedules, in the order of the names, and returns the new states and the decision. The WGSL is checked here, as in [`Kernel::new`].
    /// With narrow states the weight is the sign of the last state that is initialised from the weights, or of the last state if there is
    /// none. Rules live as long as the process.
    pub fn rule<const STATES: usize, const HYPERPARAMETERS: usize>(
        &self,
        update: impl Fn(f32, [f32; STATES], [f32; HYPERPARAMETERS]) -> ([f32; STATES], f32) + Copy + Send + Sync + 'static,
    ) -> Result<&'static BinaryRule> {
        self.check([STATES, HYPERPARAMETERS])?;
        let states: Vec<State> = self.states.iter().map(|(name, init)| State::new(name, *init)).collect();
        let along = states.iter().rposition(|state| state.init != StateInit::Zero);
        let decides = along.unwrap_or(states.len() - 1);
        let storages = self.storage.iter().map(|&storage| {
            let behind = self.kernels(&states, decides, storage, move |task: &mut Task<'_>| match decides {
                0 => twin_for::<STATES, HYPERPARAMETERS, 0>(storage, task, update),
                1 => twin_for::<STATES, HYPERPARAMETERS, 1>(storage, task, update),
                2 => twin_for::<STATES, HYPERPARAMETERS, 2>(storage, task, update),
                _ => twin_for::<STATES, HYPERPARAMETERS, 3>(storage, task, update),
            })?;
            Ok(RuleKernel { storage, planes: 1, behind })
        });
        let kernels: Vec<RuleKernel> = storages.collect::<Result<_>>()?;
        Ok(Box::leak(Box::new(BinaryRule {
            name: self.name,
            doc: self.doc,
            hyperparameters: self.hyperparameters,
            states: states.leak(),
            decides,
            first_update: None,
            is_scale_invariant: false,
            is_filter: false,
            paper: &[],
            kernels: kernels.leak(),
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
        if self.storage.first() != Some(&StateType::F32) {
            return wrong(format!("expected f32 first in `storage`, got {:?}", self.storage));
        }
        if !(1..=MAX_STATES).contains(&given[0]) || given[1] > MAX_HYPERPARAMETERS {
            return wrong(format!(
                "expected 1 to {MAX_STATES} states and at most {MAX_HYPERPARAMETERS} hyperparameters, got {} and {}",
                given[0], given[1]
            ));
        }
        for (state, start) in self.states {
            if let Some(needed) =
                start.hyperparameter().filter(|name| self.hyperparameters.iter().all(|h| h.name != *name))
            {
                return wrong(format!(
                    "expected a hyperparameter `{needed}` for state `{state}`, which starts by it, got none"
                ));
            }
        }
        Ok(())
    }

    /// Creates the kernels of one storage: the user's text with a generated header, composed like the rules of this crate.
    fn kernels(
        &self,
        states: &[State],
        decides: usize,
        storage: StateType,
        twin: impl Fn(&mut Task<'_>) + Copy + Sync + 'static,
    ) -> Result<&'static [(&'static str, &'static Kernel)]> {
        let names = states.iter().map(|state| word(state.name)).collect::<Vec<_>>().join(", ");
        let hyperparameters = self.hyperparameters.iter().map(|h| word(h.name)).collect::<Vec<_>>().join(", ");
        let decides = word(states[decides].name);
        // The user's text comes first, so that line numbers in messages match it.
        let header = format!("// states: {names}\n// decides: {decides}\n// hyperparameters: {hyperparameters}\n");
        let source = format!("{}\n{header}", self.source);
        let (alone, products): (Vec<&Updates>, Vec<&Updates>) =
            UPDATES.iter().partition(|updates| updates.producer == GRADIENT);
        let kernel = |updates: &Updates, label: &str| {
            let made = Kernel::of_rule(label, &source, &storage.to_string(), updates, twin);
            made.map(|kernel| (updates.producer, kernel))
        };
        let mut kernels: Vec<_> = alone.iter().map(|updates| kernel(updates, self.name)).collect::<Result<_>>()?;
        // A rule that a product cannot take, because a name of its text is a name of the product, is updated from gradients in memory.
        let fused = products.iter().filter(|_| states.len() <= MAX_FUSED_STATES);
        kernels
            .extend(fused.filter_map(|updates| kernel(updates, &format!("{}_{}", self.name, updates.producer)).ok()));
        Ok(kernels.leak())
    }
}

/// Returns a name as a WGSL identifier.
fn word(name: &str) -> String {
    name.replace('-', "_")
}

fn twin_for<const N: usize, const H: usize, const DECIDES: usize>(
    storage: StateType,
    task: &mut Task<'_>,
    update: impl Fn(f32, [f32; N], [f32; H]) -> ([f32; N], f32),
) {
    macro_rules! each {
        (; $([$storage:ident $module:ident $name:literal $doc:literal])+) => {
            match storage {
                $(StateType::$storage => twin::<bits::$storage, N, H, DECIDES>(task, 1, H > 0, update),)+
            }
        };
    }
    for_each_storage!({ each })
}
