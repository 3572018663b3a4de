//! Trains the 784-1024-1024-10 network on MNIST without saving it: minimal use of the trainer from Rust.
//!
//! `cargo run --release --example mnist -- DIR`, where DIR contains the four idx files of MNIST (gzipped or not). Six epochs take about half a
//! minute on two cores and reach about 98 % test accuracy.

use plusminus::Result;
use plusminus::train::{Event, Settings, Trainer};

fn main() -> Result<()> {
    let settings = Settings {
        dataset: Some("mnist".into()),
        data_dir: std::env::args().nth(1).map(Into::into),
        hidden: Some(vec![1024, 1024]),
        epochs: Some(6),
        ..Settings::default()
    };
    plusminus::block_on(async {
        let mut trainer = Trainer::new(settings.resolve()?, None).await?;
        println!("{:?} on {}", trainer.data(), trainer.device().0);
        let show = |event: &Event| {
            if let Event::Epoch { epoch, train_loss, test_accuracy, images_per_second, .. } = event {
                println!(
                    "epoch {epoch}   loss {train_loss:.4}   test {:.2} %   {images_per_second:.0} images/s",
                    100.0 * test_accuracy
                );
            }
        };
        let outcome = trainer.fit(show).await?;
        println!("test accuracy {:.2} % in {:.1} s", 100.0 * outcome.test_accuracy, outcome.seconds);
        Ok(())
    })
}
