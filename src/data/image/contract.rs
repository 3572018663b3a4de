//! The contract of an image format.

use super::pixels::{Orientation, Pixels};

/// What is known of an image before its pixels are decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Header {
    /// As shown, with the orientation applied.
    pub height: usize,
    pub width: usize,
    pub is_colour: bool,
    pub has_alpha: bool,
    pub orientation: Orientation,
}

impl Header {
    /// Creates the header of stored rows and columns.
    pub fn new([height, width]: [usize; 2], is_colour: bool, has_alpha: bool, orientation: Orientation) -> Self {
        let [height, width] = if orientation.is_transposed() { [width, height] } else { [height, width] };
        Self { height, width, is_colour, has_alpha, orientation }
    }
}

/// A file whose header is read and whose pixels are not decoded yet. Errors are reasons in one line.
pub(super) trait Opened {
    fn header(&self) -> Header;

    /// Decodes the pixels as stored. `is_grey`: luma suffices.
    fn pixels(self: Box<Self>, is_grey: bool) -> Result<Pixels, String>;
}

/// Joins a message to one line; messages of decoders may have several.
pub(super) fn one_line(error: impl ToString) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
