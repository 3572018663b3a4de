//! Counter-based random numbers: a hash of (seed, stream, index), so that results do not depend on the schedule or the threads.

/// A stream of numbers, named after its purpose ("dense1.weight"), not after its position in a graph.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: u64,
}

impl Stream {
    /// Creates the stream of that name under a seed.
    pub fn new(seed: u64, name: &str) -> Self {
        // The name is hashed, then mixed with the seed.
        Self { key: mix(hash(name.bytes()) ^ mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15))) }
    }

    /// Returns a substream.
    pub fn named(self, name: &str) -> Self {
        Self::new(self.key, name)
    }

    /// Returns number `index` of the stream, 32 uniform bits.
    pub fn word(self, index: u64) -> u32 {
        (mix(self.key.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 32) as u32
    }

    /// Returns number `index` as a float in [0, 1) with 24 bits.
    pub fn unit(self, index: u64) -> f32 {
        (self.word(index) >> 8) as f32 / (1 << 24) as f32
    }

    /// Returns number `index` as an integer below `bound`, with a bias below 2^-32 * bound.
    pub fn below(self, index: u64, bound: u32) -> u32 {
        ((u64::from(self.word(index)) * u64::from(bound)) >> 32) as u32
    }
}

/// 64-bit FNV-1a, the same on every platform; not a cryptographic hash.
pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Random numbers of one stream at one step, as kernels draw them: the twin of `shaders/shared/random.wgsl`, bit for bit. Shaders have no
/// 64-bit integers, so this is a different generator than [`Stream`], which the host uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    key: [u32; 2],
}

impl Draws {
    /// The two multipliers of the hash.
    pub(crate) const FACTORS: [u32; 2] = [0x7feb_352d, 0x846c_a68b];

    /// Creates the numbers of a stream ([`stream_word`]) at a step.
    #[inline]
    pub const fn new(seed: u32, step: u32, stream: u32) -> Self {
        let first = mix32(mix32(mix32(seed.wrapping_add(0x9e37_79b9)) ^ step) ^ stream);
        Self { key: [first, mix32(first.wrapping_add(0x85eb_ca6b))] }
    }

    /// Returns the two key words, for loops that compute several numbers at once.
    #[inline(always)]
    pub(crate) const fn key(self) -> [u32; 2] {
        self.key
    }

    /// Returns number `index`, 32 uniform bits: "lowbias32" with a word of the key before each multiplication, so that no two keys yield
    /// the same numbers in another order.
    #[inline(always)]
    pub const fn word(self, index: u32) -> u32 {
        let x = index ^ self.key[0];
        let x = (x ^ (x >> 16)).wrapping_mul(Self::FACTORS[0]);
        let x = (x ^ (x >> 15) ^ self.key[1]).wrapping_mul(Self::FACTORS[1]);
        x ^ (x >> 16)
    }
}

/// Returns the word that represents a run's seed in the values of a step ([`Draws`] takes it): the lower half of the seed plus a bijection
/// of the upper half that maps 0 to 0. Seeds below 2^32 are represented by themselves, and seeds that differ only in their upper half have
/// different words.
pub const fn seed_word(seed: u64) -> u32 {
    (seed as u32).wrapping_add(mix32((seed >> 32) as u32))
}

/// Returns the word that represents a stream in a kernel's parameters, from its name ("dense1.weight.h"): 32-bit FNV-1a.
pub fn stream_word(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Bijection of 32-bit words with good avalanche (Wellons' hash prospector, "lowbias32").
const fn mix32(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Returns `0..count` in random order (Fisher-Yates), determined by the stream.
pub fn shuffled(count: usize, stream: Stream) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    for i in (1..count).rev() {
        order.swap(i, stream.below(i as u64, i as u32 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_uniform_and_differ() {
        let (a, b) = (Stream::new(1, "a"), Stream::new(1, "b"));
        let mean = (0..10_000).map(|i| f64::from(a.unit(i))).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "mean {mean}");
        assert!((0..100).any(|i| a.word(i) != b.word(i)));
        assert!((0..100).any(|i| a.word(i) != Stream::new(2, "a").word(i)));
        assert!((0..100).any(|i| a.word(i) != a.named("a").word(i)));
        assert!((0..1000).all(|i| a.below(i, 7) < 7));
    }

    #[test]
    fn draws_are_uniform_and_independent() {
        const COUNT: u32 = 1 << 16;
        let ones = |f: &dyn Fn(u32) -> u32| -> Vec<f64> {
            let count = |bit: u32| (0..COUNT).filter(|&i| f(i) >> bit & 1 == 1).count() as f64 / f64::from(COUNT);
            (0..32).map(count).collect()
        };
        // Six standard errors of a proportion of one half.
        let fair = |what: &str, shares: Vec<f64>| {
            let far = shares.iter().enumerate().find(|(_, share)| (*share - 0.5).abs() > 3.0 / f64::from(COUNT).sqrt());
            assert!(far.is_none(), "{what}: share of ones at bit {far:?}");
        };
        let draws = Draws::new(1, 2, 3);
        fair("numbers", ones(&|i| draws.word(i)));
        fair("neighbours", ones(&|i| draws.word(i) ^ draws.word(i + 1)));
        for other in [Draws::new(2, 2, 3), Draws::new(1, 3, 3), Draws::new(1, 2, 4), Draws::new(1, 2, stream_word("w"))]
        {
            fair("another key", ones(&|i| draws.word(i) ^ other.word(i)));
        }
        let halves = (0..COUNT).map(|i| draws.word(i)).map(|w| f64::from(w & 0xffff) * f64::from(w >> 16));
        let mean = halves.sum::<f64>() / f64::from(COUNT) / 2_f64.powi(32);
        assert!((mean - 0.25).abs() < 0.005, "halves of a number are independent: mean of their product {mean}");
    }

    #[test]
    fn both_halves_of_a_seed_count() {
        for seed in [0, 1, 77, u64::from(u32::MAX)] {
            assert_eq!(u64::from(seed_word(seed)), seed);
            for bit in 32..64 {
                assert_ne!(seed_word(seed | 1 << bit), seed_word(seed), "bit {bit}");
            }
        }
        assert_ne!(seed_word(1 << 32), seed_word(1 << 33));
    }

    #[test]
    fn shuffling_is_a_permutation() {
        let mut order = shuffled(1000, Stream::new(3, "order"));
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(i, &v)| i == v as usize));
    }
}
