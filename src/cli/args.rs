//! Arguments.

use crate::error::{Error, Result};
use crate::nn::{Model, ModelSpec};
use crate::optim::{Schedule, StateType};
use crate::train::Settings;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Trains binary neural networks on packed bits. Without a command: trains on the embedded digits
#[derive(Debug, Parser)]
#[command(name = "plusminus", version)]
pub struct Cli {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What all commands share.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// One JSON object a line on stdout; progress and logs on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Only the end: no table, no progress, no line an epoch
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Device: auto, cpu, a number of `plusminus devices`, or part of a name [default: auto]
    #[arg(long, global = true)]
    pub device: Option<String>,
    /// Threads of the processor's engine, and as many that make batches [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Seed of everything that is random [default: 1]
    #[arg(long, global = true)]
    pub seed: Option<u64>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network and save the run
    #[command(allow_negative_numbers = true)]
    Train(Box<TrainArgs>),
    /// Accuracy of a saved run on its test images, by class
    Eval(EvalArgs),
    /// What a network holds and costs, layer by layer
    #[command(allow_negative_numbers = true)]
    Summary(SummaryArgs),
    /// Train over a grid of settings and several seeds; goes on where it stopped
    #[command(allow_negative_numbers = true)]
    Sweep(Box<SweepArgs>),
    /// Curves of runs, in the terminal and as SVG
    Plot(PlotArgs),
    /// What SGD's settings mean as a filter on the gradient; with --alpha and --gamma, the reverse
    #[command(allow_negative_numbers = true)]
    Translate(TranslateArgs),
    /// Devices that `--device` takes
    Devices,
    /// Measure kernels or a training step; every answer is checked first
    #[command(allow_negative_numbers = true)]
    Bench(BenchArgs),
}

/// Arguments of `train`.
#[derive(Args, Debug, Default)]
pub struct TrainArgs {
    /// TOML file with settings by the names of the flags; flags win
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for the run [default: runs/DATASET-MODEL-N]
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Measure every kernel (slower), and print the times at the end
    #[arg(long)]
    pub profile: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// Arguments of `sweep`.
#[derive(Args, Debug)]
pub struct SweepArgs {
    /// Values of a setting, by its name in files: `--grid alpha=1e-4,1e-3`; several make a grid. Quotes keep a text with commas together:
    /// `--grid 'alpha="1e-3,linear","1e-3,cosine"'`
    #[arg(long, value_name = "NAME=VALUE,...")]
    pub grid: Vec<String>,
    /// Runs of each place of the grid, with seeds from --seed on
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seeds: u64,
    /// TOML file with settings by the names of the flags; flags win
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for the runs, results.json, results.csv and, with two settings, heat-map.svg
    #[arg(long, value_name = "DIR", default_value = "runs/sweep")]
    pub run: PathBuf,
    /// Settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// Arguments of `plot`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct PlotArgs {
    /// Something else than runs.
    #[command(subcommand)]
    pub what: Option<PlotWhat>,
    /// Folders of runs on the same data
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The picture [default: curves.svg in the first run's folder]
    #[arg(long, value_name = "FILE.svg")]
    pub out: Option<PathBuf>,
}

/// What `plot` draws beside runs.
#[derive(Debug, Subcommand)]
pub enum PlotWhat {
    /// What rules do to a gradient: impulse and frequency responses, measured on the rules themselves
    Filter(FilterArgs),
}

/// Arguments of `plot filter`.
#[derive(Args, Debug)]
pub struct FilterArgs {
    /// A rule, with settings by their names in files as in "iir design=bessel order=4 cutoff=500"; several are drawn over each other
    #[arg(long, required = true, value_name = "NAME SETTING=VALUE ...")]
    pub optimizer: Vec<String>,
    /// Steps of the impulse response, and of the slowest sine
    #[arg(long, default_value_t = 4096, value_name = "N")]
    pub steps: u64,
    /// The picture
    #[arg(long, default_value = "filters.svg", value_name = "FILE.svg")]
    pub out: PathBuf,
}

/// Arguments of `eval`.
#[derive(Args, Debug)]
pub struct EvalArgs {
    /// Folder of the run
    pub run: PathBuf,
    /// Writes the network's outputs for all training images, as they are: a teacher's logits
    #[arg(long, value_name = "FILE")]
    pub logits: Option<PathBuf>,
    /// Folder with the data set's files, when they have moved
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Largest batch that is not bounded by a data set.
const MAX_ROWS: usize = 1 << 20;

/// Which network, and for which batch.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Model: mlp, binarynet, binarynet-bop, vgg-small, resnet20, birealnet20, resnet18, birealnet18, reactnet18, reactnet-a
    #[arg(long, default_value = "mlp")]
    pub model: String,
    /// Units of the hidden layers of mlp [default: 4096,4096,4096]
    #[arg(long, value_delimiter = ',', value_name = "N,N,...")]
    pub hidden: Option<Vec<usize>>,
    /// Factor of the channels and hidden units of every layer
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub width: f64,
    /// The network with float weights and ReLU for sign
    #[arg(long)]
    pub float: bool,
    /// Images, HEIGHTxWIDTHxCHANNELS [default: as published]
    #[arg(long, value_name = "HxWxC")]
    pub input: Option<String>,
    /// Classes [default: as published]
    #[arg(long)]
    pub classes: Option<usize>,
    /// Stands in for the derivative of sign [default: as published]
    #[arg(long)]
    pub surrogate: Option<String>,
    /// Samples of a batch
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub batch_size: usize,
    /// Keep every operation by itself instead of fusing neighbours
    #[arg(long)]
    pub no_fuse: bool,
}

impl ModelArgs {
    /// The model.
    pub fn build(&self) -> Result<Model> {
        if !(1..=MAX_ROWS).contains(&self.batch_size) {
            return Err(Error::setting("batch-size", format!("1 to {MAX_ROWS}"), self.batch_size));
        }
        let mut spec = ModelSpec::new(&self.model, [1, 1, 1], 2);
        let zoo = spec.check()?;
        (spec.input, spec.classes) = (zoo.input, self.classes.unwrap_or(zoo.classes));
        if let Some(text) = &self.input {
            let parts: Vec<Option<usize>> = text.split('x').map(|part| part.parse().ok()).collect();
            let [Some(height), Some(width), Some(channels)] = parts[..] else {
                return Err(Error::setting("input", "HEIGHTxWIDTHxCHANNELS", text));
            };
            spec.input = [height, width, channels];
        }
        spec.hidden.clone_from(&self.hidden);
        spec.surrogate.clone_from(&self.surrogate);
        (spec.width, spec.float) = (self.width, self.float);
        spec.build()
    }
}

/// Arguments of `summary`.
#[derive(Args, Clone, Debug)]
pub struct SummaryArgs {
    /// Which network.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Rule of the binary weights, whose states are counted
    #[arg(long, default_value = "cema")]
    pub optimizer: String,
    /// How its states are stored
    #[arg(long, default_value = "f32", value_name = "TYPE")]
    pub state: StateType,
    /// Also print every command of a training step and of an evaluation
    #[arg(long)]
    pub program: bool,
}

/// Arguments of `translate`.
#[derive(Args, Debug)]
pub struct TranslateArgs {
    /// Learning rate of the latent weights
    #[arg(long, allow_hyphen_values = true)]
    pub lr: Option<f64>,
    /// Momentum, as PyTorch means it without dampening [default: 0]
    #[arg(long, allow_hyphen_values = true)]
    pub momentum: Option<f64>,
    /// Weight decay, added to the gradient [default: 0]
    #[arg(long, allow_hyphen_values = true)]
    pub weight_decay: Option<f64>,
    /// Rate of the filter whose sign is the weight: translates back
    #[arg(long, allow_hyphen_values = true)]
    pub alpha: Option<f64>,
    /// Rate of the average before it [default: 1]
    #[arg(long, allow_hyphen_values = true)]
    pub gamma: Option<f64>,
    /// How the learning rate (or alpha) moves: also gives the filter along the run
    #[arg(long, value_name = "SCHEDULE")]
    pub schedule: Option<Schedule>,
    /// Steps of the run that --schedule spans; lengths in it, such as warmup:500, count in these
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
    /// Also gives time constants in epochs
    #[arg(long, value_name = "N")]
    pub steps_per_epoch: Option<f64>,
}

/// Arguments of `bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub what: BenchWhat,
}

/// What `bench` measures.
#[derive(Debug, Subcommand)]
pub enum BenchWhat {
    /// Every product and filter alone
    Kernels {
        /// Products of N x N x N, filters of 4N x 4N weights; a multiple of 32
        #[arg(long, default_value_t = 1024, value_name = "N")]
        size: usize,
        /// Only kernels whose name contains this
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Whole training steps
    Step {
        /// Which network.
        #[command(flatten)]
        model: ModelArgs,
        /// Also a line a kernel
        #[arg(long)]
        profile: bool,
        /// Steps to measure
        #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        steps: u64,
    },
}
