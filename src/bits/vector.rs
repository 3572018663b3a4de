//! The registers of an instruction set, as the algorithms of this folder use them: 32-bit lanes, one column per lane.
//!
//! Every method of these traits requires that the processor has the set's instructions, and that its pointers are valid for as many elements as it
//! says, at any alignment. Methods are `#[inline(always)]`: where they are called below a function with the set's `#[target_feature]`, they become
//! instructions.

/// The registers of an instruction set.
pub trait Vectors: Sized {
    /// Lanes of a register: 4, 8 or 16.
    const LANES: usize;
    /// A register of floats.
    type Floats: Copy;
    /// A register of words, or of smaller integers where a method says so.
    type Words: Copy;
    /// The floats of 32 columns.
    type Row: Copy + AsRef<[Self::Floats]> + AsMut<[Self::Floats]>;
    /// The words of 32 columns.
    type WordRow: Copy + AsRef<[Self::Words]> + AsMut<[Self::Words]>;

    /// 32 zeros.
    unsafe fn zeros() -> Self::Row;

    /// 32 words of 0.
    unsafe fn no_words() -> Self::WordRow;

    /// The number in every lane.
    unsafe fn splat(number: f32) -> Self::Floats;

    /// The word in every lane.
    unsafe fn splat_word(word: u32) -> Self::Words;

    /// Reads `LANES` numbers.
    unsafe fn load(at: *const f32) -> Self::Floats;

    /// Writes `LANES` numbers.
    unsafe fn store(at: *mut f32, numbers: Self::Floats);

    /// Reads `LANES` words.
    unsafe fn load_words(at: *const u32) -> Self::Words;

    /// Writes `LANES` words.
    unsafe fn store_words(at: *mut u32, words: Self::Words);

    /// Reads 32 numbers.
    #[inline(always)]
    unsafe fn load_row(at: *const f32) -> Self::Row {
        // SAFETY: the caller promises the instructions and 32 readable numbers, which the registers of a row hold together.
        unsafe {
            let mut row = Self::zeros();
            for (v, numbers) in row.as_mut().iter_mut().enumerate() {
                *numbers = Self::load(at.add(v * Self::LANES));
            }
            row
        }
    }

    /// a b.
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// a + b.
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// a and b, bit by bit.
    unsafe fn and(a: Self::Words, b: Self::Words) -> Self::Words;

    /// a exclusive-or b.
    unsafe fn xor(a: Self::Words, b: Self::Words) -> Self::Words;

    /// a + b, wrapping.
    unsafe fn add_words(a: Self::Words, b: Self::Words) -> Self::Words;

    /// a b, wrapping.
    unsafe fn mul_words(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Words moved `BITS` to the right.
    unsafe fn shift_right<const BITS: u32>(words: Self::Words) -> Self::Words;

    /// Which of 32 numbers are above 0, bit c for column c; what is not a number is not.
    unsafe fn positive(numbers: Self::Row) -> u32;

    /// Which are below 0.
    unsafe fn negative(numbers: Self::Row) -> u32;

    /// Which are at least 0; -0.0 is.
    unsafe fn not_negative(numbers: Self::Row) -> u32;

    /// Which are within -1 to 1.
    unsafe fn within_one(numbers: Self::Row) -> u32;

    /// Whether every number is finite.
    unsafe fn is_finite(numbers: Self::Floats) -> bool;

    /// Prefetches the cache line of an address, which need not be valid.
    unsafe fn prefetch<T>(at: *const T);
}

/// States of weights in narrow storage: `Storage` of `storage` is their definition.
pub trait StorageVectors: Vectors {
    /// Reads `LANES` halves, none an infinity or not a number.
    unsafe fn load_f16(at: *const u16) -> Self::Floats;

    /// Reads `LANES` integers.
    unsafe fn load_i16(at: *const i16) -> Self::Floats;

    /// Reads `LANES` integers.
    unsafe fn load_i8(at: *const i8) -> Self::Floats;

    /// Writes 32 numbers as `F16` rounds them, each by its word below 2^16. `sizes` has lanes as wide as what is stored: they become the larger
    /// of themselves and of the sizes stored. Returns which stored numbers are above 0 and which below.
    unsafe fn store_f16(at: *mut u16, numbers: Self::Row, random: Self::WordRow, sizes: &mut Self::Words) -> [u32; 2];

    /// The same for `I16`.
    unsafe fn store_i16(at: *mut i16, numbers: Self::Row, random: Self::WordRow, sizes: &mut Self::Words) -> [u32; 2];

    /// The same for `I8`.
    unsafe fn store_i8(at: *mut i8, numbers: Self::Row, random: Self::WordRow, sizes: &mut Self::Words) -> [u32; 2];
}

/// What products of bits take.
pub trait BitCounts: Vectors {
    /// Words whose counts may be added up.
    const COUNTED: usize;

    /// `2^SHIFT` times the count of the bits in each part of each lane: of bytes or of whole lanes.
    unsafe fn count<const SHIFT: u32>(words: Self::Words) -> Self::Words;

    /// a + b, part by part.
    unsafe fn add_counts(a: Self::Words, b: Self::Words) -> Self::Words;

    /// The sum of the parts of each lane.
    unsafe fn total(counts: Self::Words) -> Self::Words;

    /// a or b, bit by bit.
    unsafe fn or(a: Self::Words, b: Self::Words) -> Self::Words;

    /// a - b, wrapping.
    unsafe fn sub_words(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Words moved `BITS` to the left.
    unsafe fn shift_left<const BITS: u32>(words: Self::Words) -> Self::Words;

    /// All ones in the lanes whose columns, from `first` on, are below `columns`; zeros in the others.
    unsafe fn lanes_below(columns: usize, first: usize) -> Self::Words;
}

/// What products of floats and bits take.
pub trait SignedSums: BitCounts {
    /// The signs of columns `first` on from a word of bits, as [`SignedSums::add_signed`] takes them in the last register of a term's or another.
    unsafe fn spread(word: u32, first: usize, is_last: bool) -> Self::Floats;

    /// `sum + x sign`.
    unsafe fn add_signed(sum: Self::Floats, x: Self::Floats, signs: Self::Floats, is_last: bool) -> Self::Floats;

    /// The numbers where lanes are all ones, 0 where they are zeros.
    unsafe fn keep(numbers: Self::Floats, lanes: Self::Words) -> Self::Floats;
}

/// Work that is compiled for each instruction set.
///
/// A rule is a closure, so there is no function of it to put into the table of an `Isa`. Instead each instruction set has one
/// generic function, `within`, that runs a whole piece of work under its `#[target_feature]`: the work is always inlined there.
pub trait Work {
    /// What it returns.
    type Output;

    /// Does it. Implementations are `#[inline(always)]`, else they would be compiled without the set's instructions.
    ///
    /// # Safety
    /// The processor has the set's instructions.
    unsafe fn run<V: StorageVectors>(self) -> Self::Output;
}
