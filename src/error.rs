//! The error type. Every variant names the operation, what was expected, and what was given.

use std::path::PathBuf;

/// Errors that a user can cause. Violated internal invariants are assertions instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside its range, unknown, or contradicts another.
    #[error("{what}: expected {expected}, got {got}")]
    Setting {
        /// The setting, as the user wrote it.
        what: String,
        /// Valid values.
        expected: String,
        /// The given value.
        got: String,
    },
    /// Shapes that do not fit each other.
    #[error("{op}: expected {expected}, got {got}")]
    Shape {
        /// The operation or layer.
        op: String,
        /// The required shape.
        expected: String,
        /// The given shape.
        got: String,
    },
    /// The content of a file does not match its format.
    #[error("{}: expected {expected}, got {got}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the format requires.
        expected: String,
        /// What the file contains.
        got: String,
    },
    /// An image of a data set cannot be read. Training takes another image instead.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Reading or writing a file failed.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// The operation.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// No device has that name, or there is none.
    #[error("device `{wanted}`: none found; this machine has {found}")]
    NoDevice {
        /// The requested device.
        wanted: String,
        /// The devices of the machine.
        found: String,
    },
    /// A tensor is larger than the device can bind or allocate.
    #[error(
        "{device}: tensor `{tensor}` of {bytes} bytes exceeds the {limit_name} of {limit} bytes: use a smaller batch or network"
    )]
    TooLarge {
        /// Name of the device.
        device: String,
        /// Name of the tensor.
        tensor: String,
        /// Its size in bytes.
        bytes: u64,
        /// Name of the limit.
        limit_name: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The device is out of memory.
    #[error("{device}: out of memory while allocating `{tensor}` of {bytes} bytes ({message})")]
    OutOfMemory {
        /// Name of the device.
        device: String,
        /// Name of the tensor.
        tensor: String,
        /// Its size in bytes.
        bytes: u64,
        /// The driver's message.
        message: String,
    },
    /// The device was lost.
    #[error("{device}: device lost while {doing} ({message})")]
    DeviceLost {
        /// Name of the device.
        device: String,
        /// The operation.
        doing: &'static str,
        /// The driver's message.
        message: String,
    },
    /// The device did not respond in time.
    #[error("{device}: no answer within {seconds} s while {doing}")]
    Timeout {
        /// Name of the device.
        device: String,
        /// The operation.
        doing: &'static str,
        /// The time limit.
        seconds: u64,
    },
    /// The device's driver or the shader compiler reported an error.
    #[error("{device}: {doing} failed: {message}")]
    Device {
        /// Name of the device.
        device: String,
        /// The operation.
        doing: String,
        /// The driver's message.
        message: String,
    },
    /// A kernel from outside the crate does not match its declaration.
    #[error("kernel `{kernel}`: {message}")]
    Kernel {
        /// Its label.
        kernel: String,
        /// The mismatch.
        message: String,
    },
    /// The loss, or a parameter or optimizer state after an update, is NaN or infinite.
    #[error(
        "training: the loss, a parameter or an optimizer state is NaN or infinite at step {step} (epoch {epoch}); try a smaller rate or decay"
    )]
    Diverged {
        /// The first such step, counted from 0.
        step: u32,
        /// Its epoch, counted from 1.
        epoch: u32,
    },
    /// A tensor to be saved contains NaN or infinity.
    #[error("training: `{tensor}` has a number that is NaN or infinite (epoch {epoch}); try a smaller rate or decay")]
    NotFinite {
        /// Its name.
        tensor: String,
        /// The epoch, counted from 1.
        epoch: u32,
    },
}

/// The result type of the crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Creates an [`Error::Setting`] from printable values.
    pub fn setting(what: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Setting { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    /// Prefixes the subject of an [`Error::Setting`], unless it is the same already: `alpha: expected ...`. Returns other errors unchanged.
    pub fn within(self, place: &str) -> Self {
        match self {
            Self::Setting { what, expected, got } => {
                let what =
                    if what.is_empty() || what == place { place.to_string() } else { format!("{place}: {what}") };
                Self::Setting { what, expected, got }
            }
            other => other,
        }
    }

    /// Creates an [`Error::Shape`] from printable values.
    pub fn shape(op: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Shape { op: op.into(), expected: expected.into(), got: got.to_string() }
    }

    /// Creates an [`Error::File`], for `map_err`.
    pub fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    /// Whether the user can correct the error by changing the command (exit code 2).
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Setting { .. } | Self::NoDevice { .. })
    }
}
