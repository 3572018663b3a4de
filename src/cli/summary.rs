//! `plusminus summary`: prints weights, operations and memory of a network.

use super::args::{Common, SummaryArgs};
use super::output::{bytes, json, line, thousands};
use crate::error::Result;
use crate::nn::{Cost, MODELS, Shape, Summary};
use crate::runtime::Program;
use crate::train::{Options, Session, Settings};
use comfy_table::{CellAlignment, Table};

/// Prints the weights, operations and memory of a network.
pub fn run(args: &SummaryArgs, common: &Common) -> Result<()> {
    let model = args.model.build(None)?;
    let summary = model.summary();
    let full_precision = args.model.flags.settings.full_precision;
    let config = Settings { full_precision, ..(*args.states.settings).clone() }.resolve()?;
    let (optimizer, state_dtype) = (&config.optimizer.name, config.optimizer.state_dtype);
    let (rules, values) = (config.rules()?, args.model.values()?);
    let batch = values.batch();
    let options = Options { batch, fuse: !values.no_fuse, ..Options::new(config.loss()?) };
    let memory = Session::memory_of(&model, &rules, &options)?;
    let weights = summary.total.weights_1bit;
    let state = (weights > 0).then(|| memory.states as f64 / weights as f64);
    let float = args.model.build(Some(true))?;
    let (float_total, float_peak) = (float.summary().total, Session::memory_of(&float, &rules, &options)?.peak);
    if args.program {
        show_program(&Session::program_of(&model, &rules, &options)?, common.json);
    }
    if common.json {
        for row in &summary.rows {
            let object = serde_json::json!({ "layer": row.layer, "output": row.output, "precision": row.precision });
            json(&with_cost(object, row.cost, row.saved_bits));
        }
        json(&with_cost(
            serde_json::json!({
                "model": model.name, "batch": batch, "bytes_peak": memory.peak,
                "full_precision": { "weights_32bit": float_total.weights_32bit, "macs_32bit": float_total.macs_32bit, "bytes_peak": float_peak },
                "optimizer": optimizer, "state_dtype": state_dtype, "state_bytes_per_weight": state,
            }),
            summary.total,
            summary.saved_bits,
        ));
        return Ok(());
    }
    print(&summary);
    if let Some(zoo) = MODELS.iter().find(|zoo| zoo.name == model.name) {
        line(&format!("{}: {}; published: {}", zoo.name, zoo.source, zoo.published));
    }
    if let Some(state) = state {
        line(&format!(
            "optimizer state: {state:.2} bytes per 1-bit weight ({optimizer}, {state_dtype}; rows are padded)"
        ));
    }
    line(&format!("tensor memory in training, batch {batch}: {}", bytes(memory.peak)));
    line(&format!(
        "full precision: {} of weights, {} multiply-adds, {} of tensors in training with Adam",
        bytes(4 * float_total.weights_32bit),
        thousands(float_total.macs_32bit),
        bytes(float_peak)
    ));
    Ok(())
}

/// Prints every command of every recording, one per line.
fn show_program(program: &Program, as_json: bool) {
    for (i, recording) in program.recordings.iter().enumerate() {
        let commands = program.describe(i);
        if !as_json {
            line(&format!("{}: {} commands", recording.name, commands.len()));
        }
        for command in commands {
            if as_json {
                let mut object = serde_json::to_value(&command).expect("plain values");
                object["recording"] = recording.name.clone().into();
                json(&object);
            } else {
                line(&format!("  {command}"));
            }
        }
    }
}

fn with_cost(mut object: serde_json::Value, cost: Cost, saved_bits: u64) -> serde_json::Value {
    object["weights_1bit"] = cost.weights_1bit.into();
    object["weights_32bit"] = cost.weights_32bit.into();
    object["macs_1bit"] = cost.macs_1bit.into();
    object["macs_32bit"] = cost.macs_32bit.into();
    object["saved_bits"] = saved_bits.into();
    object
}

/// Formats a shape: `32x32x128`, or `10` for a vector.
fn extents([height, width, channels]: Shape) -> String {
    if height * width == 1 { channels.to_string() } else { format!("{height}x{width}x{channels}") }
}

/// Formats the table of layers with totals.
pub fn print(summary: &Summary) {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "layer",
        "output",
        "input x weight",
        "1-bit weights",
        "32-bit",
        "size",
        "1-bit mult-adds",
        "32-bit",
        "saved",
    ]);
    let size = |cost: &Cost| bytes(cost.weights_1bit.div_ceil(8) + 4 * cost.weights_32bit);
    let mut add = |name: &str, output: String, precision: &str, cost: &Cost, saved_bits: u64| {
        let numbers = [cost.weights_1bit, cost.weights_32bit].map(thousands);
        let macs = [cost.macs_1bit, cost.macs_32bit].map(thousands);
        let [one_bit, float] = numbers;
        let [macs_1bit, macs_32bit] = macs;
        table.add_row([
            name.to_string(),
            output,
            precision.to_string(),
            one_bit,
            float,
            size(cost),
            macs_1bit,
            macs_32bit,
            bytes(saved_bits.div_ceil(8)),
        ]);
    };
    for row in &summary.rows {
        add(&row.layer, extents(row.output), &row.precision, &row.cost, row.saved_bits);
    }
    add("total", String::new(), "", &summary.total, summary.saved_bits);
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    line(&table.to_string());
}
