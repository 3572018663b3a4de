//! Adds a user-defined filter as optimizer of binary weights, in WGSL and in Rust: the double exponential moving average (Mulloy 1994), which
//! has less lag than `cema`.
//!
//! `cargo run --release --example custom_optimizer -- [PICTURE.svg [DEVICE]]` takes about two seconds, draws the
//! accuracy of both rules over epochs (custom_optimizer.svg), and prints a test accuracy above 97 %.

use plusminus::cli::{Axis, Curve, Panel, draw};
use plusminus::optim::{
    Adam, BinaryRule, CEMA, ElementwiseFilter, HyperparameterSpec, Range, Schedule, StateInit, StateType,
};
use plusminus::train::{Event, Rules, Settings, Trainer};
use plusminus::{Result, data, runtime};

const DEMA: ElementwiseFilter = ElementwiseFilter {
    name: "dema",
    doc: "twice a moving average of the gradient, less the average of that average",
    hyperparameters: &[HyperparameterSpec::new("alpha", "rate of both averages", Range::Rate, 2e-3).falling()],
    states: &[("m", StateInit::Zero), ("h", StateInit::Zero)],
    storage: &[StateType::F32],
    source: "
fn update(g: f32, s: ptr<function, States>, hyperparameters: Hyperparameters) -> f32 {
    (*s).m += hyperparameters.alpha * (g - (*s).m);
    (*s).h += hyperparameters.alpha * ((*s).m - (*s).h);
    return 2.0 * (*s).m - (*s).h;
}",
};

/// Trains on the digits with a rule and returns its test accuracy per epoch.
async fn train(rule: &'static BinaryRule, device: &str) -> Result<Curve> {
    let config = Settings { epochs: Some(20), ..Settings::default() }.resolve()?;
    let (data, device) = (data::digits(), runtime::open(device, None).await?);
    let model = config.model_for(&data).build()?;
    let rules = Rules::new(rule.with::<f32>([])?, Adam::new(1e-3, Schedule::constant())?);
    let mut curve = Curve { name: rule.name.into(), points: Vec::new() };
    let mut trainer = Trainer::with_rules(config, data, model, rules, device, None).await?;
    let on_event = |event: &Event| {
        if let Event::Epoch { epoch, test_accuracy, .. } = event {
            curve.points.push((f64::from(*epoch), *test_accuracy));
        }
    };
    trainer.fit(on_event).await?;
    Ok(curve)
}

fn main() -> Result<()> {
    let dema = DEMA.rule(|g, [m, h], [alpha]| {
        let m = m + alpha * (g - m);
        let h = h + alpha * (m - h);
        ([m, h], 2.0 * m - h)
    })?;
    let mut args = std::env::args().skip(1);
    let picture = args.next().unwrap_or_else(|| "custom_optimizer.svg".into());
    let device = args.next().unwrap_or_else(|| "auto".into());
    let curves = plusminus::block_on(async { Ok(vec![train(&CEMA, &device).await?, train(dema, &device).await?]) })?;
    let accuracy = curves[1].points.last().expect("20 epochs").1;
    draw(
        picture.as_ref(),
        &[Panel { title: "test accuracy".into(), x: Axis::linear("epoch"), is_logarithmic: false, curves }],
    )?;
    println!("test accuracy {:.2} %", 100.0 * accuracy);
    Ok(())
}
