//! Event files for TensorBoard: records of three kinds of protobuf messages. Written by hand, since the crates for it depend on a protobuf
//! runtime, for a hundred lines.
//!
//! A record (TensorFlow's `record_writer.cc`) is the length as u64, its checksum, the message, its checksum. The messages are `Event`,
//! `Summary` and `HistogramProto` of `tensorboard/compat/proto/`; the numbers of their fields stand below.

use super::diagnostics::LayerDiagnostics;
use super::event::Event;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use web_time::SystemTime;

/// The event file of a run; events are appended.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
    /// Steps per epoch: values are plotted over training steps.
    steps: u64,
}

impl EventFile {
    /// Creates `events.out.tfevents.SECONDS.plusminus` in a run's folder.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let path = folder.join(format!("events.out.tfevents.{:010}.plusminus", now() as u64));
        let file = File::create_new(&path).map_err(Error::file("creating", &path))?;
        let mut events = Self { path, file, steps: 1 };
        // Event.file_version = 3.
        events.write(0, |event| event.bytes(3, b"brain.Event:2"))?;
        Ok(events)
    }

    /// Appends the values of an event.
    pub(super) fn log(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Start { steps, .. } => self.steps = *steps as u64,
            Event::Epoch { epoch, .. } => self.summary(u64::from(*epoch) * self.steps, &of_epoch(event), &[])?,
            Event::Diagnostics { step, layers, .. } => {
                let histogram = |layer: &LayerDiagnostics| {
                    Some((format!("state_log2_over_rms/{}", layer.layer), layer.state_histogram.clone()?))
                };
                let histograms: Vec<_> = layers.iter().filter_map(histogram).collect();
                self.summary(*step, &layers.iter().flat_map(of_layer).collect::<Vec<_>>(), &histograms)?;
            }
            Event::Step { .. } | Event::Done { .. } => {}
        }
        Ok(())
    }

    fn summary(&mut self, step: u64, scalars: &[(String, f64)], histograms: &[(String, Vec<f64>)]) -> Result<()> {
        let mut summary = Message::default();
        for (tag, value) in scalars {
            // Summary.value = 1: tag = 1, simple_value = 2.
            summary.message(1, |v| v.bytes(1, tag.as_bytes()).float(2, *value as f32));
        }
        for (tag, shares) in histograms {
            // histo = 5.
            summary.message(1, |v| v.bytes(1, tag.as_bytes()).message(5, |histogram| of_shares(histogram, shares)));
        }
        // Event.summary = 5.
        self.write(step, |event| event.bytes(5, &summary.0))
    }

    /// Writes a record of an event: wall_time = 1, step = 2, and the fields of `fill`.
    fn write(&mut self, step: u64, fill: impl FnOnce(&mut Message) -> &mut Message) -> Result<()> {
        let mut event = Message::default();
        fill(event.double(1, now()).integer(2, step));
        let length = (event.0.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_checksum(&length).to_le_bytes());
        record.extend(&event.0);
        record.extend(masked_checksum(&event.0).to_le_bytes());
        self.file.write_all(&record).map_err(Error::file("writing", &self.path))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn of_epoch(event: &Event) -> Vec<(String, f64)> {
    let Event::Epoch {
        train_loss,
        train_accuracy,
        validation_loss,
        validation_accuracy,
        test_loss,
        test_accuracy,
        flip_ratio,
        flip_ratio_by_layer,
        images_per_second,
        ..
    } = event
    else {
        return Vec::new();
    };
    let values = [
        ("loss/train", Some(*train_loss)),
        ("loss/validation", *validation_loss),
        ("loss/test", Some(*test_loss)),
        ("accuracy/train", Some(*train_accuracy)),
        ("accuracy/validation", *validation_accuracy),
        ("accuracy/test", Some(*test_accuracy)),
        ("flip_ratio/all", Some(*flip_ratio)),
        ("images_per_second", Some(*images_per_second)),
    ];
    let layers = flip_ratio_by_layer.iter().map(|(layer, ratio)| (format!("flip_ratio/{layer}"), *ratio));
    values.into_iter().filter_map(|(tag, value)| Some((tag.to_string(), value?))).chain(layers).collect()
}

fn of_layer(layer: &LayerDiagnostics) -> Vec<(String, f64)> {
    let values = [
        ("flip_ratio_at_step", layer.flip_ratio),
        ("never_flipped", layer.never_flipped),
        ("oscillating", layer.oscillating),
        ("gradient_rms", layer.gradient_rms),
        ("state_rms", layer.state_rms),
        ("masked", layer.masked),
        ("dead_channels", layer.dead_channels),
    ];
    values.into_iter().filter_map(|(name, value)| Some((format!("{name}/{}", layer.layer), value?))).collect()
}

/// HistogramProto of fractions by powers of two, in percent: min = 1, max = 2, num = 3, sum = 4, sum_squares = 5, bucket_limit = 6, bucket = 7.
fn of_shares<'a>(histogram: &'a mut Message, shares: &[f64]) -> &'a mut Message {
    let limit = |i: usize| i as f64 + LayerDiagnostics::FIRST_LIMIT;
    let moment = |power: i32| {
        shares.iter().enumerate().map(|(i, share)| 100.0 * share * (limit(i) - 0.5).powi(power)).sum::<f64>()
    };
    let packed = |values: &mut dyn Iterator<Item = f64>| values.flat_map(f64::to_le_bytes).collect::<Vec<u8>>();
    histogram
        .double(1, limit(0) - 1.0)
        .double(2, limit(shares.len() - 1))
        .double(3, 100.0 * shares.iter().sum::<f64>())
        .double(4, moment(1))
        .double(5, moment(2))
        .bytes(6, &packed(&mut (0..shares.len()).map(limit)))
        .bytes(7, &packed(&mut shares.iter().map(|share| 100.0 * share)))
}

/// A protobuf message on the wire: each field is a number and a wire type, then the value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn integer(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3).varint(value)
    }

    fn double(&mut self, field: u64, value: f64) -> &mut Self {
        self.varint(field << 3 | 1).0.extend(value.to_le_bytes());
        self
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2).varint(bytes.len() as u64).0.extend(bytes);
        self
    }

    fn float(&mut self, field: u64, value: f32) -> &mut Self {
        self.varint(field << 3 | 5).0.extend(value.to_le_bytes());
        self
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Message) -> &mut Message) -> &mut Self {
        let mut message = Self::default();
        fill(&mut message);
        self.bytes(field, &message.0)
    }
}

/// Table of CRC-32C by byte (Castagnoli 1993; the reversed polynomial).
const CHECKSUMS: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut rest, mut bit) = (byte as u32, 0);
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ 0x82f6_3b78 } else { rest >> 1 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
};

/// TensorFlow rotates and offsets checksums, since a checksum of bytes that contain checksums is weak.
fn masked_checksum(bytes: &[u8]) -> u32 {
    let checksum = !bytes.iter().fold(u32::MAX, |sum, byte| CHECKSUMS[usize::from(sum as u8 ^ byte)] ^ sum >> 8);
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}
