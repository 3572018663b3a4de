//! Scales images with a triangle filter that widens for reduction: bilinear with antialiasing, as in PIL and torchvision.

/// A rectangle of an image: first row and column, height, width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Region {
    pub y: usize,
    pub x: usize,
    pub height: usize,
    pub width: usize,
}

impl Region {
    /// Returns the largest centred region with the aspect ratio of `to`: what remains visible when an image is scaled to cover `to` and
    /// cropped.
    pub fn covering([height, width]: [usize; 2], to: [usize; 2]) -> Self {
        // Ratios are compared as products, so that equal aspect ratios yield the whole image.
        let (h, w) = if height * to[1] <= width * to[0] {
            (height, (height * to[1]).div_ceil(to[0]).min(width))
        } else {
            ((width * to[0]).div_ceil(to[1]).min(height), width)
        };
        Self { y: (height - h) / 2, x: (width - w) / 2, height: h, width: w }
    }
}

/// Returns the taps of each position of an axis: the first source position, and weights that sum to 1.
fn taps(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f32 / to as f32;
    let reach = scale.max(1.0);
    let tap = |i: usize| {
        let centre = (i as f32 + 0.5) * scale;
        let first = ((centre - reach).floor().max(0.0) as usize).min(from - 1);
        let last = ((centre + reach).ceil() as usize).clamp(first + 1, from);
        let weight = |at: usize| (1.0 - ((at as f32 + 0.5 - centre) / reach).abs()).max(0.0);
        let sum: f32 = (first..last).map(weight).sum();
        (first, (first..last).map(|at| weight(at) / sum).collect())
    };
    (0..to).map(tap).collect()
}

/// Scales a region of `image` (rows of `width` pixels, channel last) to `to` rows and columns.
pub(super) fn resample(image: &[u8], [_, width, channels]: [usize; 3], region: Region, to: [usize; 2], out: &mut [u8]) {
    let (rows, columns) = (taps(region.height, to[0]), taps(region.width, to[1]));
    let mut line = vec![0.0_f32; region.width * channels];
    for ((first, weights), out) in rows.iter().zip(out.chunks_exact_mut(to[1] * channels)) {
        line.fill(0.0);
        for (i, weight) in weights.iter().enumerate() {
            let start = ((region.y + first + i) * width + region.x) * channels;
            let bytes = &image[start..][..line.len()];
            line.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum += weight * f32::from(byte));
        }
        for ((first, weights), pixel) in columns.iter().zip(out.chunks_exact_mut(channels)) {
            for (channel, byte) in pixel.iter_mut().enumerate() {
                let values = line[first * channels + channel..].iter().step_by(channels);
                let sum: f32 = values.zip(weights).map(|(value, weight)| value * weight).sum();
                *byte = sum.round() as u8; // Saturates.
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(height: usize, width: usize) -> Region {
        Region { y: 0, x: 0, height, width }
    }

    #[test]
    fn the_same_size_changes_nothing_and_a_half_is_a_mean() {
        let image: Vec<u8> = (0..48).map(|i| (i * 5) as u8).collect();
        let mut same = [0; 48];
        resample(&image, [4, 4, 3], whole(4, 4), [4, 4], &mut same);
        assert_eq!(same[..], image);
        let mut flat = [0; 12];
        resample(&[77; 48], [4, 4, 3], whole(4, 4), [2, 2], &mut flat);
        assert_eq!(flat, [77; 12]);
        // 3, 3, 1 of the four taps; the edge removes the first one, and the others are renormalised.
        let mut half = [0; 2];
        resample(&[70, 70, 0, 0], [1, 4, 1], whole(1, 4), [1, 2], &mut half);
        assert_eq!(half, [60, 10]);
    }

    #[test]
    fn twice_the_size_is_bilinear() {
        let mut twice = [0; 4];
        resample(&[0, 100], [1, 2, 1], whole(1, 2), [1, 4], &mut twice);
        assert_eq!(twice, [0, 25, 75, 100]);
    }

    #[test]
    fn a_covering_region_has_the_shape_and_lies_in_the_middle() {
        assert_eq!(Region::covering([10, 20], [5, 5]), Region { y: 0, x: 5, height: 10, width: 10 });
        assert_eq!(Region::covering([20, 10], [4, 8]), Region { y: 7, x: 0, height: 5, width: 10 });
        assert_eq!(Region::covering([7, 9], [7, 9]), whole(7, 9));
        assert_eq!(Region::covering([1, 1], [9, 2]), whole(1, 1));
    }
}
