//! Converts numbers on the host to the words of a tensor and back, for every element type and layout.

use super::bits::{PANEL, number_at, words_of};
use super::half::{half_rounded, half_value};
use super::shape::{DType, Layout, TensorType};

/// Returns the words of a tensor of floats or narrow numbers from its elements in row-major order; padding is 0. `None` if the tensor has
/// another element type, or another number of elements.
pub fn pack_numbers(ty: &TensorType, data: &[f32]) -> Option<Vec<u32>> {
    if data.len() != ty.elements() {
        return None;
    }
    let (bits, place) = (bits(ty.dtype)?, place(ty));
    let mut words = vec![0; ty.words()];
    for (row, values) in data.chunks_exact(ty.columns().max(1)).enumerate() {
        for (column, value) in values.iter().enumerate() {
            let at = place(row, column) * bits;
            words[at / 32] |= to_word(ty.dtype, *value) << (at % 32);
        }
    }
    Some(words)
}

/// Returns the elements of such a tensor in row-major order from its words.
pub fn unpack_numbers(ty: &TensorType, words: &[u32]) -> Option<Vec<f32>> {
    let (bits, place) = (bits(ty.dtype)?, place(ty));
    let mut data = Vec::with_capacity(ty.elements());
    for row in 0..ty.rows() {
        data.extend((0..ty.columns()).map(|column| {
            let at = place(row, column) * bits;
            from_word(ty.dtype, words[at / 32] >> (at % 32))
        }));
    }
    Some(data)
}

/// Returns the bits of an element.
fn bits(dtype: DType) -> Option<usize> {
    match dtype {
        DType::F32 => Some(32),
        DType::F16 | DType::I16 => Some(16),
        DType::I8 => Some(8),
        DType::I32 | DType::U32 | DType::U8 | DType::Bits => None,
    }
}

/// Returns a function from (row, column) to the index of an element in the tensor. Narrow numbers use the layout of rows.
fn place(ty: &TensorType) -> impl Fn(usize, usize) -> usize {
    let (rows, columns, is_panels) = (ty.rows(), ty.columns(), ty.layout == Layout::Panels && ty.dtype == DType::F32);
    let is_plain = ty.layout == Layout::Plain && ty.dtype == DType::F32;
    let pitch = if is_plain { columns } else { words_of(columns) * PANEL };
    move |row, column| if is_panels { number_at(rows, row, column) } else { row * pitch + column }
}

/// Returns a number from the low bits of a word; f32 represents integers and 16-bit floats of these types exactly.
fn from_word(dtype: DType, word: u32) -> f32 {
    match dtype {
        DType::F16 => half_value(word as u16),
        DType::I16 => f32::from(word as i16),
        DType::I8 => f32::from(word as i8),
        _ => f32::from_bits(word),
    }
}

/// Returns the nearest number of a type as the low bits of a word.
fn to_word(dtype: DType, value: f32) -> u32 {
    match dtype {
        DType::F16 => u32::from(half_rounded(value, 0x1000)),
        DType::I16 => u32::from((value.round() as i16).cast_unsigned()),
        DType::I8 => u32::from((value.round() as i8).cast_unsigned()),
        _ => value.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_every_type_and_layout() {
        for dtype in [DType::F32, DType::F16, DType::I16, DType::I8] {
            for layout in [Layout::Plain, Layout::Rows, Layout::Panels] {
                let ty = TensorType::new(dtype, layout, &[3, 5, 33]);
                let data: Vec<f32> = (0..ty.elements()).map(|i| (i % 199) as f32 - 99.0).collect();
                let words = pack_numbers(&ty, &data).expect("as many as it has");
                assert_eq!(words.len(), ty.words(), "{ty} {layout:?}");
                assert_eq!(unpack_numbers(&ty, &words), Some(data.clone()), "{ty} {layout:?}");
                assert!(pack_numbers(&ty, &data[1..]).is_none());
            }
        }
        assert!(pack_numbers(&TensorType::plain(DType::U32, &[1]), &[1.0]).is_none());
        // Panels are 32 columns of all rows.
        let ty = TensorType::panels(DType::F32, 2, 33);
        let data: Vec<f32> = (0..66).map(|i| i as f32).collect();
        let words = pack_numbers(&ty, &data).expect("as many as it has");
        assert_eq!([words[31], words[32], words[64], words[96]].map(f32::from_bits), [31.0, 33.0, 32.0, 65.0]);
    }
}
