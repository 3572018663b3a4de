//! Trains a binary network to compute the exclusive-or of two pixels, dark or bright: the smallest problem that needs a hidden layer.
//!
//! `cargo run --release --example xor` takes about a second and ends with `accuracy 100 %`.

use plusminus::data::{Data, InMemory};
use plusminus::nn::{BatchNorm, Dense, Model, PixelScale, Quantizer};
use plusminus::train::{Event, Settings, Trainer};
use plusminus::{Result, runtime};
use std::sync::Arc;

fn main() -> Result<()> {
    // The four cases, 25 times each. Dark is -1 for the network, bright is +1.
    let cases = [([0, 0], 0), ([0, 255], 1), ([255, 0], 1), ([255, 255], 0)].repeat(25);
    let samples = InMemory {
        shape: [1, 2, 1],
        pixels: cases.iter().flat_map(|(pixels, _)| *pixels).collect(),
        labels: cases.iter().map(|(_, label)| *label).collect(),
    };
    let samples = Arc::new(samples);
    let classes = vec!["equal".into(), "different".into()];
    let data = Data::new("xor", 255, classes, samples.clone(), samples);

    let (signs, pixels) = (Quantizer::sign(), PixelScale::to_unit(255));
    let model = Model::new("xor", data.shape, pixels)
        .with(Dense { units: 128, input: Quantizer::Float, weight: signs })
        .with(BatchNorm::default())
        .with(Dense { units: 2, input: signs, weight: signs })
        .with(BatchNorm::default());

    let settings = Settings {
        epochs: Some(200),
        batch_size: Some(20),
        alpha: Some(0.05.into()),
        float_rate: Some(0.03),
        ..Settings::default()
    };
    let accuracy = plusminus::block_on(async {
        let device = runtime::open("auto", None).await?;
        let mut trainer = Trainer::from_parts(settings.resolve()?, data, model, device, None).await?;
        let show = |event: &Event| {
            if let Event::Epoch { epoch, train_loss, test_accuracy, .. } = event
                && epoch % 40 == 0
            {
                println!("epoch {epoch:>3}   loss {train_loss:.3}   accuracy {:.0} %", 100.0 * test_accuracy);
            }
        };
        trainer.fit(show).await.map(|outcome| outcome.test_accuracy)
    })?;
    println!("accuracy {:.0} %", 100.0 * accuracy);
    assert_eq!(accuracy, 1.0);
    Ok(())
}
