//! The confusion matrix of an evaluation.

use super::files::csv_cell;

/// Numbers of samples by class and by predicted class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// Creates a matrix of zeros.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Counts a sample of a class by its logits: the first largest is the prediction, as in accuracies.
    pub(super) fn count(&mut self, label: usize, logits: impl Iterator<Item = f32>) {
        let mut best = (0, f32::NEG_INFINITY);
        for (class, logit) in logits.enumerate() {
            if class == 0 || logit > best.1 {
                best = (class, logit);
            }
        }
        self.counts[label * self.classes + best.0] += 1;
    }

    /// Returns the samples of a class by predicted class.
    pub fn row(&self, class: usize) -> &[u64] {
        &self.counts[class * self.classes..][..self.classes]
    }

    /// Returns every row.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        (0..self.classes).map(|class| self.row(class))
    }

    /// Returns the matrix as CSV with the names of the classes: a row per class, a column per predicted class.
    pub fn csv(&self, names: &[String]) -> String {
        let names: Vec<String> = names.iter().map(|name| csv_cell(name)).collect();
        let mut csv = format!("class,{}\n", names.join(","));
        for (name, row) in names.iter().zip(self.rows()) {
            csv += &format!("{name},{}\n", row.iter().map(u64::to_string).collect::<Vec<_>>().join(","));
        }
        csv
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_largest_logit_is_the_prediction() {
        let mut confusion = Confusion::new(3);
        for (label, logits) in
            [(0, [1.0, 0.0, 0.0]), (0, [0.0, 2.0, 2.0]), (2, [0.0, 0.0, 0.0]), (2, [f32::NAN, 5.0, f32::NAN])]
        {
            confusion.count(label, logits.into_iter());
        }
        assert_eq!(confusion.rows().collect::<Vec<_>>(), [[1, 1, 0], [0, 0, 0], [2, 0, 0]]);
        let names = ["a".to_string(), "b,c".into(), "d\"".into()];
        assert_eq!(confusion.csv(&names), "class,a,\"b,c\",\"d\"\"\"\na,1,1,0\n\"b,c\",0,0,0\n\"d\"\"\",2,0,0\n");
    }
}
