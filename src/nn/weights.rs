//! Named tensors, to and from safetensors files: signs as plain rows of u32 words, floats without padding, lists of words unchanged.

use crate::tensor::{BitMatrix, DType, Layout, TensorType, pack_numbers, unpack_numbers, words_of};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};

/// The metadata entry that contains the notes.
const NOTES: &str = "plusminus";

/// A tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// Signs.
    Bits(BitMatrix),
    /// Floats, row-major without padding; also narrow numbers, which f32 represents exactly.
    Floats {
        /// Extents.
        shape: Vec<usize>,
        /// Elements.
        data: Vec<f32>,
    },
    /// Counters and other words that f32 would round.
    Words(Vec<u32>),
}

/// Returns the parent of a tensor's name: the parameter `dense1.weight` of a state `dense1.weight.h`, the layer `dense1` of that parameter.
pub fn parent_path(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(parent, _)| parent)
}

/// Named tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// By name: `dense1.weight`.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Tensor {
    /// Creates a tensor from the words of a device's tensor.
    pub fn from_words(ty: &TensorType, words: &[u32]) -> Option<Self> {
        match (ty.dtype, ty.layout) {
            (DType::Bits, Layout::Panels) => {
                BitMatrix::from_panels(ty.rows(), ty.columns(), words.to_vec()).map(Self::Bits)
            }
            (DType::U32, Layout::Plain) => Some(Self::Words(words.to_vec())),
            _ => unpack_numbers(ty, words).map(|data| Self::Floats { shape: ty.shape.clone(), data }),
        }
    }

    /// Returns the words of a device's tensor; `None` if the tensor does not fit the type.
    pub fn to_words(&self, ty: &TensorType) -> Option<Vec<u32>> {
        match (self, ty.dtype, ty.layout) {
            (Self::Bits(bits), DType::Bits, Layout::Panels)
                if (bits.rows(), bits.columns()) == (ty.rows(), ty.columns()) =>
            {
                Some(bits.panels().to_vec())
            }
            (Self::Floats { shape, data }, ..) if *shape == ty.shape => pack_numbers(ty, data),
            (Self::Words(words), DType::U32, Layout::Plain) if words.len() == ty.words() => Some(words.clone()),
            _ => None,
        }
    }

    /// Describes the tensor: `signs [512 x 784]`.
    pub fn describe(&self) -> String {
        match self {
            Self::Bits(bits) => format!("signs [{} x {}]", bits.rows(), bits.columns()),
            Self::Floats { shape, .. } => format!("floats {shape:?}"),
            Self::Words(words) => format!("words [{}]", words.len()),
        }
    }
}

impl Weights {
    /// Returns the name of the first tensor with a number that is not finite.
    pub fn not_finite(&self) -> Option<&str> {
        let broken =
            |tensor: &Tensor| matches!(tensor, Tensor::Floats { data, .. } if data.iter().any(|v| !v.is_finite()));
        self.tensors.iter().find(|(_, tensor)| broken(tensor)).map(|(name, _)| name.as_str())
    }

    /// Returns a safetensors file. Signs are `[rows, words]` of u32, words a list of u32. The single metadata entry, `plusminus`, is a JSON
    /// object of the notes and, as `NAME.columns`, the number of signs per row. A single entry makes the bytes of the file a function of
    /// its content.
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

    /// Reads a safetensors file; also returns the notes. The error says what is wrong with the file.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, BTreeMap<String, String>), String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| format!("not a safetensors file ({e})"))?;
        let notes =
            header.metadata().as_ref().and_then(|m| m.get(NOTES)).ok_or(format!("no metadata entry `{NOTES}`"))?;
        let notes: BTreeMap<String, String> = serde_json::from_str(notes).map_err(|e| format!("metadata: {e}"))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| format!("incomplete safetensors file ({e})"))?;
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
                    let columns = columns.ok_or(format!("`{name}` has no number of columns in the metadata"))?;
                    let plain: Vec<u32> = words.collect();
                    let bits = BitMatrix::from_rows(rows, columns, &plain);
                    Tensor::Bits(bits.ok_or(format!(
                        "`{name}`: {} words, which do not hold {rows} x {columns} signs",
                        plain.len()
                    ))?)
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
    use crate::tensor::Stream;

    #[test]
    fn files_give_back_what_they_took() {
        let mut weights = Weights::default();
        weights.tensors.insert("dense1.weight".into(), Tensor::Bits(BitMatrix::random(33, 70, Stream::new(1, "w"))));
        weights
            .tensors
            .insert("norm1.scale".into(), Tensor::Floats { shape: vec![3], data: vec![1.0, -0.0, f32::MIN_POSITIVE] });
        // Beyond the integers that f32 represents exactly.
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

    /// A file without words whose extents multiply to 0 in 64 bits.
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
