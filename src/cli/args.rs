//! Command-line arguments.

use super::setting_flags::{OfFiles, OfModel, OfProgram, OfStates, OfTraining, SettingFlags};
use crate::error::{Error, Result};
use crate::nn::{Model, ModelSpec};
use crate::optim::Schedule;
use crate::train::TrainConfig;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Trains binary neural networks on packed bits. Without a command it trains on the embedded digits
#[derive(Debug, Parser)]
#[command(name = "plusminus", version)]
pub struct Cli {
    /// Options of all commands.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of all commands.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Print one JSON object per line on stdout; progress and logs go to stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only results: no progress, no line per epoch
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Device, threads, seed.
    #[command(flatten)]
    pub flags: SettingFlags<OfProgram>,
}

impl Common {
    /// Returns device, threads and seed with their defaults.
    pub fn values(&self) -> TrainConfig {
        self.flags.settings.filled()
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network and save the run
    #[command(allow_negative_numbers = true)]
    Train(Box<TrainArgs>),
    /// Print the test accuracy of a saved run, by class
    Eval(EvalArgs),
    /// Print the weights, operations and memory of a network, layer by layer
    #[command(allow_negative_numbers = true)]
    Summary(SummaryArgs),
    /// Train over a grid of settings and several seeds; an interrupted sweep resumes
    #[command(allow_negative_numbers = true)]
    Sweep(Box<SweepArgs>),
    /// Draw curves of runs, in the terminal and as SVG
    Plot(PlotArgs),
    /// Print the filter that is equivalent to SGD's settings, or the SGD settings of a filter (--alpha, --gamma)
    #[command(allow_negative_numbers = true)]
    Translate(TranslateArgs),
    /// List the devices that --device takes
    Devices,
    /// Measure kernels or a training step; results are checked first
    #[command(allow_negative_numbers = true, arg_required_else_help = false)]
    Bench(BenchArgs),
}

/// Arguments of `train`.
#[derive(Args, Debug, Default)]
pub struct TrainArgs {
    /// TOML file of settings, with the names of flags as keys; flags take precedence
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub flags: SettingFlags<OfTraining>,
    /// Folder of the run [default: runs/DATASET-MODEL-N]
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub run: Option<PathBuf>,
    /// Time every kernel, which slows training down, and print the times at the end
    #[arg(long, help_heading = OUTPUT)]
    pub profile: bool,
}

/// Heading of the flags for output files.
const OUTPUT: &str = "Output";

/// Arguments of `sweep`.
#[derive(Args, Debug)]
pub struct SweepArgs {
    /// A setting and its values: `--grid alpha=1e-4,1e-3`; may be repeated. Values that contain commas are quoted:
    /// `--grid 'alpha="1e-3,linear","1e-3,cosine"'`
    #[arg(long, value_name = "NAME=VALUE,...")]
    pub grid: Vec<String>,
    /// Runs of each point of the grid, with seeds from --seed on
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seeds: u64,
    /// TOML file of settings, with the names of flags as keys; flags take precedence
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub flags: SettingFlags<OfTraining>,
    /// Folder of the runs, results.json, results.csv and, with two axes, heat-map.svg
    #[arg(long, value_name = "DIR", default_value = "runs/sweep", help_heading = OUTPUT)]
    pub run: PathBuf,
}

/// Arguments of `plot`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct PlotArgs {
    /// A subject other than runs.
    #[command(subcommand)]
    pub what: Option<PlotWhat>,
    /// Folders of runs on the same data
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// File of the picture [default: curves.svg in the first run's folder]
    #[arg(long, value_name = "FILE.svg")]
    pub out: Option<PathBuf>,
}

/// Subjects of `plot` other than runs.
#[derive(Debug, Subcommand)]
pub enum PlotWhat {
    /// Draw impulse and frequency responses of rules, measured with their kernels
    Filter(FilterArgs),
}

/// Arguments of `plot filter`.
#[derive(Args, Debug)]
pub struct FilterArgs {
    /// A rule and its settings by the names of flags, such as "iir design=bessel order=4 cutoff=500"; may be repeated
    #[arg(long, required = true, value_name = "RULE NAME=VALUE ...")]
    pub optimizer: Vec<String>,
    /// Steps of the impulse response, and period of the slowest sine
    #[arg(long, default_value_t = 4096, value_name = "N")]
    pub steps: u64,
    /// File of the picture
    #[arg(long, default_value = "filters.svg", value_name = "FILE.svg")]
    pub out: PathBuf,
}

/// Arguments of `eval`.
#[derive(Args, Debug)]
pub struct EvalArgs {
    /// Folder of the run
    pub run: PathBuf,
    /// Evaluate the weights of the epoch with the highest validation accuracy (best.safetensors)
    #[arg(long)]
    pub best: bool,
    /// Write the logits of all training images, for --teacher-logits
    #[arg(long, value_name = "FILE")]
    pub logits: Option<PathBuf>,
    /// The data's folder, if it has moved or other images are judged.
    #[command(flatten)]
    pub flags: SettingFlags<OfFiles>,
}

/// Largest batch where no data set bounds it.
const MAX_ROWS: usize = 1 << 20;

/// A network and its batch.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Settings.
    #[command(flatten)]
    pub flags: SettingFlags<OfModel>,
    /// Size of images [default: the published size]
    #[arg(long, value_name = "HxWxC")]
    pub input: Option<String>,
    /// Number of classes [default: the published number]
    #[arg(long, value_name = "N")]
    pub classes: Option<usize>,
}

impl ModelArgs {
    /// Returns the settings with their defaults.
    pub fn values(&self) -> Result<TrainConfig> {
        match self.flags.settings.filled() {
            values if values.batch() > MAX_ROWS => {
                Err(Error::setting("batch-size", format!("at most {MAX_ROWS}"), values.batch()))
            }
            values => Ok(values),
        }
    }

    /// Builds the model; `full_precision` overrides the flag.
    pub fn build(&self, full_precision: Option<bool>) -> Result<Model> {
        let (settings, values) = (&self.flags.settings, self.values()?);
        let mut spec = ModelSpec::new(&values.model, [1, 1, 1], 2);
        let zoo = spec.check()?;
        (spec.input, spec.classes) = (zoo.input, self.classes.unwrap_or(zoo.classes));
        if let Some(text) = &self.input {
            let parts: Vec<Option<usize>> = text.split('x').map(|part| part.parse().ok()).collect();
            let [Some(height), Some(width), Some(channels)] = parts[..] else {
                return Err(Error::setting("input", "HEIGHTxWIDTHxCHANNELS", text));
            };
            spec.input = [height, width, channels];
        }
        // The default is the published configuration, not that of the digits' network.
        spec.hidden.clone_from(&settings.hidden);
        spec.surrogate = Some(values.surrogate);
        spec.width = values.width;
        spec.full_precision = full_precision.unwrap_or(values.full_precision);
        spec.build()
    }
}

/// Arguments of `summary`.
#[derive(Args, Clone, Debug)]
pub struct SummaryArgs {
    /// The network.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Also print every command of a training step and of an evaluation
    #[arg(long)]
    pub program: bool,
    /// The rule whose states are counted.
    #[command(flatten)]
    pub states: SettingFlags<OfStates>,
}

/// Arguments of `translate`.
#[derive(Args, Debug)]
pub struct TranslateArgs {
    /// Learning rate of the latent weights
    #[arg(long, allow_hyphen_values = true, value_name = "NUMBER")]
    pub lr: Option<f64>,
    /// Momentum as in PyTorch, without dampening [default: 0]
    #[arg(long, allow_hyphen_values = true, value_name = "NUMBER")]
    pub momentum: Option<f64>,
    /// Weight decay, added to the gradient [default: 0]
    #[arg(long, allow_hyphen_values = true, value_name = "NUMBER")]
    pub weight_decay: Option<f64>,
    /// Rate of the filter whose sign is the weight, in (0, 1]
    #[arg(long, allow_hyphen_values = true, value_name = "NUMBER")]
    pub alpha: Option<f64>,
    /// Rate of the preceding moving average of gradients, in (0, 1] [default: 1]
    #[arg(long, allow_hyphen_values = true, value_name = "NUMBER")]
    pub gamma: Option<f64>,
    /// Schedule of the learning rate or of alpha: also print the filter during the run
    #[arg(long, value_name = "SCHEDULE")]
    pub schedule: Option<Schedule>,
    /// Steps of the run that --schedule spans
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
    /// Steps per epoch: also print time constants in epochs
    #[arg(long, value_name = "N")]
    pub steps_per_epoch: Option<f64>,
}

/// Arguments of `bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// The subject of the benchmark.
    #[command(subcommand)]
    pub what: BenchWhat,
}

/// Subjects of `bench`.
#[derive(Debug, Subcommand)]
pub enum BenchWhat {
    /// Measure products and filters, each kernel separately
    Kernels {
        /// Size N of products of N x N x N; filters have 4N x 4N weights; a multiple of 32
        #[arg(long, default_value_t = 1024, value_name = "N")]
        size: usize,
        /// Measure only kernels whose name contains TEXT
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Measure whole training steps
    Step {
        /// The network.
        #[command(flatten)]
        model: ModelArgs,
        /// Also print the time of each kernel
        #[arg(long)]
        profile: bool,
        /// Number of steps
        #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        steps: u64,
    },
}
