//! Traits over the vector registers of an instruction set: 32-bit lanes, one column per lane.
//!
//! Every method of these traits requires that the processor has the set's instructions and that its pointers are valid for the number of elements it
//! states, at any alignment. Methods are `#[inline(always)]`: inlined into a function with the set's `#[target_feature]`, they compile to single
//! instructions.

/// The vector registers of an instruction set.
pub trait Vectors: Sized {
    /// Lanes of a register: 4, 8 or 16.
    const LANES: usize;
    /// A register of floats.
    type Floats: Copy;
    /// A register of words, or of smaller integers where a method says so.
    type Words: Copy;
    /// The registers that hold the floats of 32 columns.
    type Row: Copy + AsRef<[Self::Floats]> + AsMut<[Self::Floats]>;
    /// The registers that hold the words of 32 columns.
    type WordRow: Copy + AsRef<[Self::Words]> + AsMut<[Self::Words]>;

    /// Returns 32 floats of 0.
    unsafe fn zeros() -> Self::Row;

    /// Returns 32 words of 0.
    unsafe fn no_words() -> Self::WordRow;

    /// Returns the number in every lane.
    unsafe fn splat(number: f32) -> Self::Floats;

    /// Returns the word in every lane.
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
        // SAFETY: the caller promises the instructions and 32 readable numbers; the registers of a row together hold 32.
        unsafe {
            let mut row = Self::zeros();
            for (v, numbers) in row.as_mut().iter_mut().enumerate() {
                *numbers = Self::load(at.add(v * Self::LANES));
            }
            row
        }
    }

    /// Returns `a * b`.
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// Returns `a + b`.
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// Returns the bitwise and.
    unsafe fn and(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Returns the bitwise exclusive or.
    unsafe fn xor(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Returns `a + b`, wrapping.
    unsafe fn add_words(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Returns `a * b`, wrapping.
    unsafe fn mul_words(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Shifts words `BITS` to the right, filling with 0.
    unsafe fn shift_right<const BITS: u32>(words: Self::Words) -> Self::Words;

    /// Returns which of 32 numbers are `> 0`, as bit c for column c; NaN is not.
    unsafe fn positive(numbers: Self::Row) -> u32;

    /// Returns which of 32 numbers are `< 0`; NaN is not.
    unsafe fn negative(numbers: Self::Row) -> u32;

    /// Returns which of 32 numbers are `>= 0`; -0.0 is, NaN is not.
    unsafe fn not_negative(numbers: Self::Row) -> u32;

    /// Returns which of 32 numbers have a magnitude `<= 1`; NaN does not.
    unsafe fn within_one(numbers: Self::Row) -> u32;

    /// Returns whether every number is finite.
    unsafe fn is_finite(numbers: Self::Floats) -> bool;

    /// Prefetches the cache line of an address, which need not be valid.
    unsafe fn prefetch<T>(at: *const T);
}

/// Loads and stores of narrow optimizer states; `storage::Storage` defines the formats.
pub trait StorageVectors: Vectors {
    /// Reads `LANES` f16 numbers, all finite.
    unsafe fn load_f16(at: *const u16) -> Self::Floats;

    /// Reads `LANES` 16-bit integers.
    unsafe fn load_i16(at: *const i16) -> Self::Floats;

    /// Reads `LANES` 8-bit integers.
    unsafe fn load_i8(at: *const i8) -> Self::Floats;

    /// Rounds 32 numbers stochastically as `F16` does, each by a random word below 2^16, and writes them. `sizes` has lanes as wide as the stored
    /// type and accumulates the maximum of the stored magnitudes. Returns which stored numbers are `> 0` and which are `< 0`.
    unsafe fn store_f16(at: *mut u16, numbers: Self::Row, random: Self::WordRow, sizes: &mut Self::Words) -> [u32; 2];

    /// Does the same as [`StorageVectors::store_f16`] for `I16`.
    unsafe fn store_i16(at: *mut i16, numbers: Self::Row, random: Self::WordRow, sizes: &mut Self::Words) -> [u32; 2];

    /// Does the same as [`StorageVectors::store_f16`] for `I8`.
    unsafe fn store_i8(at: *mut i8, numbers: Self::Row, random: Self::WordRow, sizes: &mut Self::Words) -> [u32; 2];
}

/// Register operations of products of bits.
///
/// Counts are kept per *part* of a lane: per byte or per whole lane, depending on the popcount instructions of the set.
pub trait BitCounts: Vectors {
    /// Maximum number of words whose counts may be added before a part overflows.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "no instruction set with vectors"))]
    const COUNTED: usize;

    /// Returns `2^SHIFT` times the popcount of each part of each lane.
    unsafe fn count<const SHIFT: u32>(words: Self::Words) -> Self::Words;

    /// Returns `a + b`, part by part.
    unsafe fn add_counts(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Returns the sum of the parts of each lane.
    unsafe fn total(counts: Self::Words) -> Self::Words;

    /// Returns the bitwise or.
    unsafe fn or(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Returns `a - b`, wrapping.
    unsafe fn sub_words(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Shifts words `BITS` to the left.
    unsafe fn shift_left<const BITS: u32>(words: Self::Words) -> Self::Words;

    /// Returns all ones in each lane whose column, `first` + lane, is below `columns`, and zeros in the others.
    unsafe fn lanes_below(columns: usize, first: usize) -> Self::Words;
}

/// Register operations of products of floats and bits.
pub trait SignedSums: BitCounts {
    /// Expands the bits of columns `first..first + LANES` of a word into signs, in the form that [`SignedSums::add_signed`] takes. The form may
    /// differ in the last register of a term (`is_last`).
    unsafe fn spread(word: u32, first: usize, is_last: bool) -> Self::Floats;

    /// Returns `sum + x * sign`.
    unsafe fn add_signed(sum: Self::Floats, x: Self::Floats, signs: Self::Floats, is_last: bool) -> Self::Floats;

    /// Returns the number in each lane whose mask is all ones, 0 in each lane whose mask is zero.
    unsafe fn keep(numbers: Self::Floats, lanes: Self::Words) -> Self::Floats;
}

/// Generic work that is compiled once per instruction set.
///
/// An update rule is a closure, so the table of an `Isa` cannot hold a function pointer for it. Instead each instruction set has
/// one generic function, `within`, that runs the work under its `#[target_feature]`; the work is always inlined into it.
pub trait Work {
    /// Result of the work.
    type Output;

    /// Runs the work. Implementations must be `#[inline(always)]`; otherwise they are compiled without the set's instructions.
    ///
    /// # Safety
    /// The processor has the set's instructions.
    unsafe fn run<V: StorageVectors>(self) -> Self::Output;
}
