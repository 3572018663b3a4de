//! Storage formats of optimizer states: the scalar definition of each format, and its loads and stores of 32 columns in registers.

use super::tasks::PANEL;
use super::vector::StorageVectors;
use crate::tensor::{HALF_MOST, half_rounded, half_value};

/// A storage format of optimizer states.
///
/// A format with units stores a row of states as multiples of the row's *unit*, a power of two.
pub trait Storage: Sized {
    /// Type of one stored state.
    type Stored: Copy + Default + 'static;
    /// Whether states are rounded when stored. The sign of the stored state then sets the weight.
    const IS_NARROW: bool;
    /// Whether each row has its own unit.
    const HAS_UNITS: bool;
    /// Largest magnitude that can be stored, in units.
    const MAX: f32;
    /// Fixed-point steps per unit that [`Storage::store`] rounds from.
    const FINE: f32;
    /// Ratio of the stored number to the state, in formats without units.
    const SCALE: f32 = 1.0;
    /// The gradient magnitude for which the initial units are chosen: a large one of a last layer, or a typical one in coarse formats.
    /// Units adapt by a few powers of two per step; until they fit, states saturate with the correct sign, or are coarse.
    const FIRST_GRADIENT: f32 = 1.0 / 64.0;

    /// Returns the stored number, in units.
    fn load(stored: Self::Stored) -> f32;

    /// Rounds a number stochastically by 16 random bits: to one of its two neighbours, the nearer with the higher probability. `value` is in
    /// units times `FINE`. Numbers beyond the range saturate.
    fn store(value: f32, random: u32) -> Self::Stored;

    /// Returns the magnitude of a stored number as an integer that orders as magnitudes do.
    fn size(stored: Self::Stored) -> u32;

    /// Returns the largest of magnitudes that are packed as in a register: in lanes as wide as the stored type.
    #[doc(hidden)]
    fn largest(sizes: &[u32]) -> f32;

    /// Reads one register of numbers.
    ///
    /// # Safety
    /// The processor has V's instructions; the numbers are readable.
    #[doc(hidden)]
    unsafe fn load_register<V: StorageVectors>(at: *const Self::Stored) -> V::Floats;

    /// Rounds 32 numbers as [`Storage::store`] does, each by a random word below 2^16, and writes them. `sizes` accumulates the maximum of the
    /// stored magnitudes, in lanes as wide as the stored type. Returns which stored numbers are `> 0` and which are `< 0`.
    ///
    /// # Safety
    /// The processor has V's instructions; 32 numbers are writable.
    #[doc(hidden)]
    unsafe fn store_row<V: StorageVectors>(
        at: *mut Self::Stored,
        numbers: V::Row,
        random: V::WordRow,
        sizes: &mut V::Words,
    ) -> [u32; 2];
}

/// 32-bit floats.
#[derive(Clone, Copy, Debug)]
pub enum F32 {}

impl Storage for F32 {
    type Stored = f32;
    const IS_NARROW: bool = false;
    const HAS_UNITS: bool = false;
    const MAX: f32 = f32::INFINITY;
    const FINE: f32 = 1.0;

    #[inline(always)]
    fn load(stored: f32) -> f32 {
        stored
    }

    #[inline(always)]
    fn store(value: f32, _random: u32) -> f32 {
        value
    }

    /// Returns the bit pattern of the magnitude, which orders NaN above every number.
    #[inline(always)]
    fn size(stored: f32) -> u32 {
        stored.to_bits() & 0x7fff_ffff
    }

    #[inline(always)]
    fn largest(sizes: &[u32]) -> f32 {
        f32::from_bits(sizes.iter().fold(0, |largest, size| largest.max(*size)))
    }

    #[inline(always)]
    unsafe fn load_register<V: StorageVectors>(at: *const f32) -> V::Floats {
        // SAFETY: the caller promises the instructions and readable numbers.
        unsafe { V::load(at) }
    }

    #[inline(always)]
    unsafe fn store_row<V: StorageVectors>(
        at: *mut f32,
        numbers: V::Row,
        _random: V::WordRow,
        _sizes: &mut V::Words,
    ) -> [u32; 2] {
        // SAFETY: the caller promises the instructions and 32 writable numbers.
        unsafe {
            for (v, &numbers) in numbers.as_ref().iter().enumerate() {
                V::store(at.add(v * V::LANES), numbers);
            }
            [V::positive(numbers), V::negative(numbers)]
        }
    }
}

/// 16-bit floats.
#[derive(Clone, Copy, Debug)]
pub enum F16 {}

impl Storage for F16 {
    type Stored = u16;
    const IS_NARROW: bool = true;
    const HAS_UNITS: bool = false;
    const MAX: f32 = HALF_MOST;
    const FINE: f32 = 1.0;
    const SCALE: f32 = 65536.0;

    #[inline(always)]
    fn load(stored: u16) -> f32 {
        half_value(stored)
    }

    #[inline(always)]
    fn store(value: f32, random: u32) -> u16 {
        half_rounded(value, random >> 3)
    }

    #[inline(always)]
    fn size(stored: u16) -> u32 {
        u32::from(stored & 0x7fff)
    }

    #[inline(always)]
    fn largest(sizes: &[u32]) -> f32 {
        half_value(sizes.iter().fold(0, |largest, pair| largest.max(*pair as u16).max((pair >> 16) as u16)))
    }

    #[inline(always)]
    unsafe fn load_register<V: StorageVectors>(at: *const u16) -> V::Floats {
        // SAFETY: the caller promises the instructions and readable numbers.
        unsafe { V::load_f16(at) }
    }

    #[inline(always)]
    unsafe fn store_row<V: StorageVectors>(
        at: *mut u16,
        numbers: V::Row,
        random: V::WordRow,
        sizes: &mut V::Words,
    ) -> [u32; 2] {
        // SAFETY: the caller promises the instructions and 32 writable numbers.
        unsafe { V::store_f16(at, numbers, random, sizes) }
    }
}

macro_rules! integers {
    ($(#[$meta:meta])* $name:ident, $stored:ident, $load:ident, $store:ident, $first:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl Storage for $name {
            type Stored = $stored;
            const IS_NARROW: bool = true;
            const HAS_UNITS: bool = true;
            const MAX: f32 = $stored::MAX as f32;
            const FINE: f32 = 65536.0;
            const FIRST_GRADIENT: f32 = $first;

            #[inline(always)]
            fn load(stored: $stored) -> f32 {
                f32::from(stored)
            }

            #[inline(always)]
            fn store(value: f32, random: u32) -> $stored {
                const END: f32 = 65536.0 * $stored::MAX as f32;
                // A comparison with NaN is false, so NaN saturates.
                let below = if value < END { value } else { END };
                let within = if below > -END { below } else { -END };
                // SAFETY: within +-END, which i32 holds with any 16 bits added.
                let steps = unsafe { within.to_int_unchecked::<i32>() };
                ((steps + random as i32) >> 16) as $stored
            }

            #[inline(always)]
            fn size(stored: $stored) -> u32 {
                u32::from(stored.unsigned_abs())
            }

            #[inline(always)]
            fn largest(sizes: &[u32]) -> f32 {
                const BITS: u32 = $stored::BITS;
                let lanes = |word: u32| (0..32 / BITS).map(move |lane| word << (32 - BITS - lane * BITS) >> (32 - BITS));
                sizes.iter().flat_map(|word| lanes(*word)).max().unwrap_or(0) as f32
            }

            #[inline(always)]
            unsafe fn load_register<V: StorageVectors>(at: *const $stored) -> V::Floats {
                // SAFETY: the caller promises the instructions and readable numbers.
                unsafe { V::$load(at) }
            }

            #[inline(always)]
            unsafe fn store_row<V: StorageVectors>(
                at: *mut $stored,
                numbers: V::Row,
                random: V::WordRow,
                sizes: &mut V::Words,
            ) -> [u32; 2] {
                // SAFETY: the caller promises the instructions and 32 writable numbers.
                unsafe { V::$store(at, numbers, random, sizes) }
            }
        }
    };
}

integers!(
    /// 16-bit integers.
    I16, i16, load_i16, store_i16, 0.015625
);
integers!(
    /// 8-bit integers.
    I8, i8, load_i8, store_i8, 0.00048828125
);

/// Reads a register as [`Storage::load_register`], one lane at a time by the scalar definition.
///
/// # Safety
/// As [`Storage::load_register`].
#[inline(always)]
pub(super) unsafe fn load_lanes<S: Storage, V: StorageVectors>(at: *const S::Stored) -> V::Floats {
    let mut lanes = [0.0; 16];
    for (lane, number) in lanes.iter_mut().enumerate().take(V::LANES) {
        // SAFETY: the caller promises readable numbers.
        *number = S::load(unsafe { at.add(lane).read() });
    }
    // SAFETY: the caller promises the instructions; a register has at most 16 lanes.
    unsafe { V::load(lanes.as_ptr()) }
}

/// Writes a row as [`Storage::store_row`], one lane at a time by the scalar definition: for instruction sets without a faster sequence.
///
/// # Safety
/// As [`Storage::store_row`].
#[inline(always)]
pub(super) unsafe fn store_lanes<S: Storage, V: StorageVectors>(
    at: *mut S::Stored,
    numbers: V::Row,
    random: V::WordRow,
    sizes: &mut V::Words,
) -> [u32; 2] {
    let (mut values, mut words) = ([0.0; PANEL], [0; PANEL]);
    for v in 0..PANEL / V::LANES {
        // SAFETY: the caller promises the instructions; registers together hold 32 lanes.
        unsafe {
            V::store(values.as_mut_ptr().add(v * V::LANES), numbers.as_ref()[v]);
            V::store_words(words.as_mut_ptr().add(v * V::LANES), random.as_ref()[v]);
        }
    }
    // Each step maps whole arrays to whole arrays, which the compiler vectorises.
    let stored: [S::Stored; PANEL] = std::array::from_fn(|lane| S::store(values[lane], words[lane]));
    let magnitudes: [u32; PANEL] = std::array::from_fn(|lane| S::size(stored[lane]));
    let values: [f32; PANEL] = std::array::from_fn(|lane| S::load(stored[lane]));
    // SAFETY: the caller promises 32 writable numbers.
    unsafe { at.cast::<[S::Stored; PANEL]>().write_unaligned(stored) };
    // SAFETY: the caller promises the instructions; a register has at most 16 lanes.
    unsafe {
        let mut largest = [0; 16];
        V::store_words(largest.as_mut_ptr(), *sizes);
        for (lane, magnitude) in magnitudes.into_iter().enumerate() {
            largest[lane % V::LANES] = largest[lane % V::LANES].max(magnitude);
        }
        *sizes = V::load_words(largest.as_ptr());
        let numbers = V::load_row(values.as_ptr());
        [V::positive(numbers), V::negative(numbers)]
    }
}
