//! The update of one weight matrix by a rule, alone on an engine.
#![allow(dead_code, reason = "each test file uses a part of it")]

use plusminus::graph::{Graph, Init, Plan, Purpose, Role, ValueInfo, plan};
use plusminus::nn::Tensor;
use plusminus::optim::{BinaryOptimizer, Optimizer, UpdateTarget, first_counters};
use plusminus::runtime::{Engine, StepLimits, StepParams, Target};
use plusminus::tensor::{BitMatrix, DType, Layout, PANEL, TensorType, words_of};
use pollster::block_on;
use std::sync::Arc;

/// Index of the rule's first vec4 of hyperparameters in the step.
const HYPER_OFFSET: usize = 3;

/// The weight is `w`, its gradient `g`, its states `w.NAME`. It uses the counters of the second layer in `counters`.
pub struct Update {
    plan: Plan,
    engine: Box<dyn Engine>,
    /// The rule.
    pub rule: BinaryOptimizer,
    ty: TensorType,
}

impl Update {
    /// Creates random weights and initial states.
    pub fn new(rule: BinaryOptimizer, [rows, columns]: [usize; 2], mut engine: Box<dyn Engine>) -> Self {
        let mut graph = Graph::new();
        let ty = TensorType::new(DType::F32, Layout::Rows, &[rows, columns]);
        let parameter = graph.parameter("w", TensorType::bits(rows, columns), Role::Binary, Init::Signs);
        let gradient = graph.input("g", ty.clone());
        let first = Init::List(first_counters(2).into());
        let counters = graph.state("counters", TensorType::plain(DType::U32, &[7]), Purpose::Counter, first);
        rule.update(
            &mut graph,
            UpdateTarget { parameter, gradient, hyper_offset: HYPER_OFFSET as u32, counters, layer: Some(1) },
        )
        .unwrap();
        let mut plan = plan(&[("update", &graph)], StepLimits::default(), &Target::any()).unwrap();
        plan.program.poison = Some(0x7fc0_0000);
        block_on(engine.load(Arc::new(plan.program.clone()))).unwrap();
        for (id, info) in plan.named.values() {
            if let Some(words) = plan.initial_words(info, 5, None) {
                engine.upload(*id, &words).unwrap();
            }
        }
        Self { plan, engine, rule, ty }
    }

    /// Takes one step with the rule's schedules.
    pub fn step(&mut self, gradient: &[u32], step: u64, total: u64) {
        let mut values = StepParams { step: step as u32, valid_rows: 1, ..StepParams::default() };
        values.hyperparameters[HYPER_OFFSET..][..4].copy_from_slice(&self.rule.hyperparameters(step, total));
        block_on(self.engine.play(0, &[(self.plan.id("g"), gradient)], &values)).unwrap();
    }

    /// Returns a word per element of a tensor with the weight's shape.
    pub fn padded(&self, value: impl Fn(usize) -> f32) -> Vec<u32> {
        let (columns, pitch) = (self.ty.columns(), words_of(self.ty.columns()) * PANEL);
        let mut words = vec![0; self.ty.rows() * pitch];
        (0..self.ty.elements()).for_each(|i| words[i / columns * pitch + i % columns] = value(i).to_bits());
        words
    }

    /// Returns the words of a tensor.
    pub fn words(&mut self, name: &str) -> Vec<u32> {
        let download = self.engine.download(&[self.plan.id(name)]).unwrap();
        block_on(download).unwrap().remove(0)
    }

    /// Overwrites a tensor.
    pub fn upload(&mut self, name: &str, words: &[u32]) {
        self.engine.upload(self.plan.id(name), words).unwrap();
    }

    /// Returns the elements of a float tensor, without padding.
    pub fn floats(&mut self, name: &str) -> Vec<f32> {
        let words = self.words(name);
        match Tensor::from_words(&self.info(name).ty, &words) {
            Some(Tensor::Floats { data, .. }) => data,
            other => panic!("`{name}`: expected floats, got {other:?}"),
        }
    }

    /// Returns the weights.
    pub fn signs(&mut self) -> BitMatrix {
        let words = self.words("w");
        BitMatrix::from_panels(self.ty.rows(), self.ty.columns(), words).expect("tails stay 0")
    }

    /// Returns the name and type of a tensor.
    pub fn info(&self, name: &str) -> ValueInfo {
        self.plan.named[name].1.clone()
    }

    /// Returns the rule's states.
    pub fn states(&self) -> Vec<ValueInfo> {
        self.plan.named.values().map(|(_, info)| info.clone()).filter(|info| info.name.starts_with("w.")).collect()
    }
}
