//! Named tensors, to and from safetensors: signs as plain rows of u32 words, floats without padding, lists of words as they are.

use crate::graph::{Init, ValueInfo, ValueKind};
use crate::tensor::{
    BitMatrix, DType, Layout, PANEL, Stream, TensorType, half_rounded, half_value, number_at, words_of,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};

/// Metadata entry with the notes.
const NOTES: &str = "plusminus";

/// A tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// Signs.
    Bits(BitMatrix),
    /// Floats, row-major without padding; narrow numbers, too, which all are floats.
    Floats {
        /// Extents.
        shape: Vec<usize>,
        /// Elements.
        data: Vec<f32>,
    },
    /// Counters and the like, which floats would round.
    Words(Vec<u32>),
}

/// What a tensor is named after: the parameter `dense1.weight` of a state `dense1.weight.h`, the layer `dense1` of that parameter.
pub fn parent_path(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(parent, _)| parent)
}

/// A narrow number from the low bits of a word; integers and halves are all floats, too.
fn narrow_value(dtype: DType, word: u32) -> f32 {
    match dtype {
        DType::F16 => half_value(word as u16),
        DType::I16 => f32::from(word as i16),
        _ => f32::from(word as i8),
    }
}

/// The nearest narrow number, as the low bits of a word.
fn narrow_word(dtype: DType, value: f32) -> u32 {
    match dtype {
        DType::F16 => u32::from(half_rounded(value, 0x1000)),
        DType::I16 => u32::from((value.round() as i16).cast_unsigned()),
        _ => u32::from((value.round() as i8).cast_unsigned()),
    }
}

/// States of a weight that follow each other in a row.
fn planes(ty: &TensorType, init: Init) -> usize {
    if matches!(init, Init::Planes(_)) { ty.shape[1] } else { 1 }
}

/// Named tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// By name: `dense1.weight`.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Tensor {
    /// First content of a persistent tensor, by the stream of its name.
    pub fn initial(info: &ValueInfo, init: Init, seed: u64) -> Vec<u32> {
        let ty = &info.ty;
        match init {
            Init::Signs => BitMatrix::random(ty.rows(), ty.columns(), Stream::new(seed, &info.name)).panels().to_vec(),
            Init::Words(word) => vec![word; ty.words()],
            Init::Halves([first, second]) => {
                (0..ty.words()).map(|i| if 2 * i < ty.words() { first } else { second }).collect()
            }
            Init::Fill(value) => vec![value.to_bits(); ty.words()],
            Init::Along(_) | Init::Spread(_) | Init::Planes(_) => {
                let parameter = parent_path(&info.name);
                let rows = ty.rows() / planes(ty, init);
                let signs = BitMatrix::random(rows, ty.columns(), Stream::new(seed, parameter));
                Self::along(info, init, seed, &signs).expect("made for this type")
            }
            Init::Uniform(bound) => {
                let stream = Stream::new(seed, &info.name);
                let data = (0..ty.elements() as u64).map(|i| bound * (2.0 * stream.unit(i) - 1.0)).collect();
                Self::Floats { shape: ty.shape.clone(), data }.to_words(ty).expect("made for this type")
            }
        }
    }

    /// First content of a state that starts along the signs of its parameter; `None` where it does not, or the shapes differ.
    pub fn along(info: &ValueInfo, init: Init, seed: u64, signs: &BitMatrix) -> Option<Vec<u32>> {
        let (stream, planes) = (Stream::new(seed, &info.name), planes(&info.ty, init));
        let (rows, columns) = (info.ty.rows() / planes, info.ty.columns());
        let size = |i: usize| match init {
            Init::Along(factor) => Some(factor),
            Init::Spread(bound) => Some(bound * stream.unit(i as u64)),
            Init::Planes(factors) => Some(factors[i / columns % planes]),
            _ => None,
        };
        if (signs.rows(), signs.columns()) != (rows, columns) {
            return None;
        }
        let value = |i: usize| {
            let sign = if signs.is_positive(i / columns / planes, i % columns) { 1.0 } else { -1.0 };
            Some(sign * size(i)?)
        };
        let data = (0..rows * planes * columns).map(value).collect::<Option<Vec<f32>>>()?;
        Self::Floats { shape: info.ty.shape.clone(), data }.to_words(&info.ty)
    }

    /// From the words of a device's tensor.
    pub fn from_words(ty: &TensorType, words: &[u32]) -> Option<Self> {
        let (rows, columns) = (ty.rows(), ty.columns());
        match (ty.dtype, ty.layout) {
            (DType::Bits, Layout::Panels) => BitMatrix::from_panels(rows, columns, words.to_vec()).map(Self::Bits),
            (DType::F32, Layout::Plain | Layout::Rows) => {
                let pitch = if ty.layout == Layout::Plain { columns } else { words_of(columns) * PANEL };
                let row = |r: usize| words[r * pitch..][..columns].iter().map(|&w| f32::from_bits(w));
                Some(Self::Floats { shape: ty.shape.clone(), data: (0..rows).flat_map(row).collect() })
            }
            (DType::F32, Layout::Panels) => {
                let row = |r: usize| (0..columns).map(move |c| f32::from_bits(words[number_at(rows, r, c)]));
                Some(Self::Floats { shape: ty.shape.clone(), data: (0..rows).flat_map(row).collect() })
            }
            (DType::F16 | DType::I16 | DType::I8, _) => {
                let (each, pitch) = (ty.elements_a_word(), words_of(columns) * PANEL);
                let value = |i: usize| narrow_value(ty.dtype, words[i / each] >> (32 / each * (i % each)));
                let row = |r: usize| (r * pitch..r * pitch + columns).map(value);
                Some(Self::Floats { shape: ty.shape.clone(), data: (0..rows).flat_map(row).collect() })
            }
            (DType::U32, Layout::Plain) => Some(Self::Words(words.to_vec())),
            _ => None,
        }
    }

    /// To the words of a device's tensor; `None` where it does not fit the type.
    pub fn to_words(&self, ty: &TensorType) -> Option<Vec<u32>> {
        match (self, ty.dtype, ty.layout) {
            (Self::Bits(bits), DType::Bits, Layout::Panels)
                if (bits.rows(), bits.columns()) == (ty.rows(), ty.columns()) =>
            {
                Some(bits.panels().to_vec())
            }
            (Self::Floats { shape, data }, DType::F32, Layout::Plain | Layout::Rows) if *shape == ty.shape => {
                let pitch = if ty.layout == Layout::Plain { ty.columns() } else { words_of(ty.columns()) * PANEL };
                let mut words = vec![0; ty.words()];
                for (to, from) in words.chunks_exact_mut(pitch).zip(data.chunks_exact(ty.columns())) {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_bits());
                }
                Some(words)
            }
            (Self::Floats { shape, data }, DType::F16 | DType::I16 | DType::I8, _) if *shape == ty.shape => {
                let (each, pitch, columns) = (ty.elements_a_word(), words_of(ty.columns()) * PANEL, ty.columns());
                let mut words = vec![0; ty.words()];
                for (i, value) in data.iter().enumerate() {
                    let at = i / columns * pitch + i % columns;
                    words[at / each] |= narrow_word(ty.dtype, *value) << (32 / each * (at % each));
                }
                Some(words)
            }
            (Self::Words(words), DType::U32, Layout::Plain) if words.len() == ty.words() => Some(words.clone()),
            _ => None,
        }
    }

    /// `[512, 784] signs`.
    pub fn describe(&self) -> String {
        match self {
            Self::Bits(bits) => format!("signs [{} x {}]", bits.rows(), bits.columns()),
            Self::Floats { shape, .. } => format!("floats {shape:?}"),
            Self::Words(words) => format!("words [{}]", words.len()),
        }
    }
}

impl Weights {
    /// Whether a persistent value is part of a saved model.
    pub fn holds(info: &ValueInfo) -> bool {
        matches!(info.kind, ValueKind::Parameter(_))
    }

    /// The first tensor with a number that is not finite.
    pub fn not_finite(&self) -> Option<&str> {
        let broken =
            |tensor: &Tensor| matches!(tensor, Tensor::Floats { data, .. } if data.iter().any(|v| !v.is_finite()));
        self.tensors.iter().find(|(_, tensor)| broken(tensor)).map(|(name, _)| name.as_str())
    }

    /// A safetensors file. Signs are `[rows, words]` of u32, words a list of u32. The one metadata entry, `plusminus`, is a JSON object of the notes and,
    /// as `NAME.columns`, the number of signs in a row: one entry, since a file's bytes shall depend on nothing but its content.
    pub fn to_bytes(&self, metadata: &[(&str, String)]) -> Result<Vec<u8>, String> {
        let mut notes: BTreeMap<String, String> = metadata.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
        let mut views = Vec::new();
        for (name, tensor) in &self.tensors {
            let (dtype, shape, bytes) = match tensor {
                Tensor::Bits(bits) => {
                    notes.insert(format!("{name}.columns"), bits.columns().to_string());
                    let words: Vec<u8> = bits.to_rows().iter().flat_map(|w| w.to_le_bytes()).collect();
                    (Dtype::U32, vec![bits.rows(), words_of(bits.columns())], words)
                }
                Tensor::Floats { shape, data } => {
                    (Dtype::F32, shape.clone(), data.iter().flat_map(|v| v.to_le_bytes()).collect())
                }
                Tensor::Words(words) => {
                    (Dtype::U32, vec![words.len()], words.iter().flat_map(|w| w.to_le_bytes()).collect())
                }
            };
            views.push((name.clone(), dtype, shape, bytes));
        }
        let mut list = Vec::new();
        for (name, dtype, shape, bytes) in &views {
            list.push((name.clone(), TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| e.to_string())?));
        }
        let notes = serde_json::to_string(&notes).map_err(|e| e.to_string())?;
        safetensors::serialize(list, Some(HashMap::from([(NOTES.to_string(), notes)]))).map_err(|e| e.to_string())
    }

    /// From a safetensors file; gives the notes, too. The error says what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, BTreeMap<String, String>), String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| format!("no safetensors file ({e})"))?;
        let notes =
            header.metadata().as_ref().and_then(|m| m.get(NOTES)).ok_or(format!("no metadata entry `{NOTES}`"))?;
        let notes: BTreeMap<String, String> = serde_json::from_str(notes).map_err(|e| format!("metadata: {e}"))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| format!("no whole safetensors file ({e})"))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let words = view.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let tensor = match (view.dtype(), view.shape()) {
                (Dtype::F32, shape) => {
                    Tensor::Floats { shape: shape.to_vec(), data: words.map(f32::from_bits).collect() }
                }
                (Dtype::U32, [_]) => Tensor::Words(words.collect()),
                (Dtype::U32, &[rows, _]) => {
                    let columns = notes.get(&format!("{name}.columns")).and_then(|c| c.parse().ok());
                    let columns = columns.ok_or(format!("`{name}` without a number of columns in the metadata"))?;
                    let plain: Vec<u32> = words.collect();
                    let bits = BitMatrix::from_rows(rows, columns, &plain);
                    Tensor::Bits(
                        bits.ok_or(format!("`{name}`: {} words, which are no {rows} x {columns} signs", plain.len()))?,
                    )
                }
                (dtype, shape) => return Err(format!("`{name}` of {dtype:?} {shape:?}")),
            };
            tensors.insert(name, tensor);
        }
        Ok((Self { tensors }, notes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_give_back_what_they_took() {
        let mut weights = Weights::default();
        weights.tensors.insert("dense1.weight".into(), Tensor::Bits(BitMatrix::random(33, 70, Stream::new(1, "w"))));
        weights
            .tensors
            .insert("norm1.scale".into(), Tensor::Floats { shape: vec![3], data: vec![1.0, -0.0, f32::MIN_POSITIVE] });
        // More than a float can count.
        weights.tensors.insert("dense1.weight.peaks".into(), Tensor::Words(vec![0, (1 << 24) + 1, u32::MAX]));
        let bytes = weights.to_bytes(&[("version", "1".into())]).expect("it can be written");
        let (again, notes) = Weights::from_bytes(&bytes).expect("it can be read");
        assert_eq!(weights, again);
        assert_eq!(notes["version"], "1");
        assert!(Weights::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(Weights::from_bytes(b"not a safetensors file").is_err());
        assert_eq!(again.not_finite(), None);
        weights.tensors.insert("norm1.bias".into(), Tensor::Floats { shape: vec![2], data: vec![0.0, f32::NAN] });
        assert_eq!(weights.not_finite(), Some("norm1.bias"));
    }

    /// A file of no words whose extents multiply, in 64 bits, to none.
    #[test]
    fn crafted_extents_are_refused() {
        for (rows, columns) in [(64, "9223372036854775808"), (64, "18446744073709551615"), (64, "many"), (64, "32")] {
            let notes = serde_json::json!({ "w.columns": columns }).to_string();
            let empty = TensorView::new(Dtype::U32, vec![rows, 0], &[]).expect("no words");
            let notes = Some(HashMap::from([(NOTES.to_string(), notes)]));
            let bytes = safetensors::serialize([("w", empty)], notes).expect("it can be written");
            let error = Weights::from_bytes(&bytes).expect_err("no such matrix");
            assert!(error.contains("`w`"), "{columns} columns: {error}");
        }
    }

    #[test]
    fn words_of_padded_rows_come_back() {
        let ty = TensorType::new(DType::F32, Layout::Rows, &[3, 33]);
        let tensor = Tensor::Floats { shape: vec![3, 33], data: (0..99).map(|i| i as f32).collect() };
        let words = tensor.to_words(&ty).expect("it fits");
        assert_eq!(words.len(), 3 * 64);
        assert_eq!(Tensor::from_words(&ty, &words), Some(tensor));
    }
}
