//! 16-bit floats of IEEE 754 (as in WGSL's `pack2x16float`), by integer arithmetic that gives the same result on every device.

/// Largest finite 16-bit float.
pub const HALF_MOST: f32 = 65504.0;

/// Returns the number as f32. Infinities and NaN are never stored.
#[inline(always)]
pub fn half_value(half: u16) -> f32 {
    let (sign, size) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7fff));
    let (normal, small) = ((size << 13) + (112 << 23), (size as f32 * 2_f32.powi(-24)).to_bits());
    f32::from_bits(choose(size >= 0x400, normal, small) | sign)
}

/// Rounds to one of the two neighbours, with the probability of each given by its distance if the low 13 bits of `random` are uniform;
/// rounds to nearest if they are 0x1000. Magnitudes above [`HALF_MOST`] saturate.
#[inline(always)]
pub fn half_rounded(value: f32, random: u32) -> u16 {
    let (sign, random) = (value.to_bits() >> 16 & 0x8000, random & 0x1fff);
    let size = (value.to_bits() & 0x7fff_ffff).min(HALF_MOST.to_bits());
    let normal = ((size + random) >> 13).wrapping_sub(112 << 10);
    // Below the smallest normal number the step is 2^-24.
    let small = f32::from_bits(size.min(0x3880_0000)) * 2_f32.powi(24) + random as f32 / 8192.0;
    (choose(size >= 0x3880_0000, normal, floor(small)) | sign) as u16
}

/// Returns the largest integer not above a number from 0 to 2^22, by additions: `as` checks for values out of range, lane by lane.
#[inline(always)]
fn floor(x: f32) -> u32 {
    const ONES: f32 = 8_388_608.0;
    // From here on the step of f32 is 1.
    let nearest = x + ONES;
    nearest.to_bits() - ONES.to_bits() - u32::from(nearest - ONES > x)
}

/// Selects without a branch, which would prevent vectorisation of loops.
#[inline(always)]
fn choose(first: bool, one: u32, other: u32) -> u32 {
    let mask = u32::from(first).wrapping_neg();
    (one & mask) | (other & !mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_its_own_nearest() {
        for half in (0..=0xffff_u16).filter(|half| half & 0x7c00 != 0x7c00) {
            for random in [0, 0x1000, 0x1fff] {
                assert_eq!(half_rounded(half_value(half), random), half, "{half:#x}, {random:#x}");
            }
        }
    }

    #[test]
    fn floors_are_those_of_casts() {
        for x in (0..40_000).map(|i| i as f32 / 32.0).chain([0.99999, 1023.9999, 1e-40]) {
            assert_eq!(floor(x), x as u32, "{x}");
        }
    }

    #[test]
    fn values_are_ieee_s_and_rounding_is_fair() {
        for (half, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (1, 2_f32.powi(-24)), (0x400, 2_f32.powi(-14))]
        {
            assert_eq!(half_value(half), value);
        }
        assert_eq!(half_rounded(1e6, 0x1fff), 0x7bff);
        // 1 + 0.3 / 1024 lies at 0.3 of the interval from 1 to the next number; so does 100.3 * 2^-24 above 100 steps.
        for (value, below) in
            [(1.0 + 0.3 / 1024.0, 0x3c00), (-(1.0 + 0.3 / 1024.0), 0xbc00), (100.3 * 2_f32.powi(-24), 100)]
        {
            let up = (0..0x2000).filter(|&random| half_rounded(value, random) == below + 1).count();
            let down = (0..0x2000).filter(|&random| half_rounded(value, random) == below).count();
            assert_eq!(up + down, 0x2000, "{value}: no other neighbour");
            assert!((up as f32 / 8192.0 - 0.3).abs() < 1e-3, "{value}: up in {up} of 8192");
        }
    }
}
