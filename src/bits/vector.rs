//! What an instruction set is to the algorithms of this folder: registers of 32-bit lanes, one column to a lane.

/// The registers of an instruction set.
///
/// # Safety
/// Every method requires that the processor has the set's instructions, and that its pointers are valid for as many elements as it says, at
/// any alignment. Methods are `#[inline(always)]`: they become instructions where they are called below [`Work`].
pub trait Vectors: Sized {
    /// Lanes of a register: 4, 8 or 16.
    const LANES: usize;
    /// A register of floats.
    type Floats: Copy;
    /// A register of words, or of narrower integers where a method says so.
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

    /// Which of 32 numbers are above 0, bit c for column c; not a number is not.
    unsafe fn positive(numbers: Self::Row) -> u32;

    /// Which of 32 numbers are below 0.
    unsafe fn negative(numbers: Self::Row) -> u32;

    /// Whether every number is finite.
    unsafe fn is_finite(numbers: Self::Floats) -> bool;

    /// The larger of each word.
    unsafe fn max_words(a: Self::Words, b: Self::Words) -> Self::Words;

    /// Asks for the cache line of an address, which may be any.
    unsafe fn prefetch<T>(at: *const T);

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

/// Work that is compiled for each instruction set.
///
/// A rule is a closure, so there is no function of it to put into a table. Instead each instruction set has one generic function, `within`, that
/// runs a whole piece of work under its `#[target_feature]`: the work is always inlined there.
pub trait Work {
    /// What it returns.
    type Output;

    /// Does it. Implementations are `#[inline(always)]`, else they would be compiled without the set's instructions.
    ///
    /// # Safety
    /// The processor has the set's instructions.
    unsafe fn run<V: Vectors>(self) -> Self::Output;
}
