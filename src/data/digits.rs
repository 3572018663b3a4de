//! The embedded default: 1,797 handwritten digits of 8 x 8 pixels, 0 to 16.
//!
//! Optical Recognition of Handwritten Digits, test set (E. Alpaydin and C. Kaynak, 1998), UCI Machine Learning Repository,
//! DOI 10.24432/C50P49, licensed CC BY 4.0. The file is gzipped CSV as published: 64 pixels, then the label.

use super::dataset::{Data, InMemory};
use crate::tensor::{Stream, shuffled};
use std::io::Read;
use std::sync::Arc;

const FILE: &[u8] = include_bytes!("digits.csv.gz");
const TEST: usize = 360;

/// Returns all digits, in a fixed random split of 1,437 for training and 360 for testing.
pub fn digits() -> Data {
    let mut text = String::new();
    flate2::read::GzDecoder::new(FILE).read_to_string(&mut text).expect("the embedded file is whole");
    let rows: Vec<Vec<u8>> = text
        .lines()
        .map(|line| line.split(',').map(|cell| cell.trim().parse().expect("a small number")).collect())
        .collect();
    let order = shuffled(rows.len(), Stream::new(0, "digits.split"));
    let split = |order: &[u32]| {
        let mut part = InMemory::new([8, 8, 1]);
        for &i in order {
            part.pixels.extend(&rows[i as usize][..64]);
            part.labels.push(u32::from(rows[i as usize][64]));
        }
        Arc::new(part)
    };
    let classes = (0..10).map(|d| d.to_string()).collect();
    Data::new("digits", 16, classes, split(&order[TEST..]), split(&order[..TEST]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_is_there_once() {
        let data = digits();
        assert_eq!((data.train.len(), data.test.len()), (1437, 360));
        let mut counts = [0; 10];
        for part in [&data.train, &data.test] {
            (0..part.len()).for_each(|i| counts[part.label(i) as usize] += 1);
        }
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }
}
