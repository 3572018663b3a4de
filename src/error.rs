//! One error type. Every variant names the operation, what was expected, and what came.

use std::path::PathBuf;

/// What can go wrong for a user. Mistakes of our own are assertions instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside its range, unknown, or contradicts another.
    #[error("{what}: expected {expected}, got {got}")]
    Setting {
        /// Which setting, as the user wrote it.
        what: String,
        /// What it may be.
        expected: String,
        /// What it was.
        got: String,
    },
    /// Shapes that do not fit each other.
    #[error("{op}: expected {expected}, got {got}")]
    Shape {
        /// The operation or layer.
        op: String,
        /// The shape it needs.
        expected: String,
        /// The shape that came.
        got: String,
    },
    /// A file's content is not what its format promises.
    #[error("{}: expected {expected}, got {got}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the format demands.
        expected: String,
        /// What was found.
        got: String,
    },
    /// Reading or writing failed.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No device of that name, or none at all.
    #[error("device `{wanted}`: none found; this machine has {found}")]
    NoDevice {
        /// What was asked for.
        wanted: String,
        /// What there is.
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
        /// Its size.
        bytes: u64,
        /// Which limit.
        limit_name: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The device has no memory left.
    #[error("{device}: out of memory while allocating `{tensor}` of {bytes} bytes ({message})")]
    OutOfMemory {
        /// Name of the device.
        device: String,
        /// Name of the tensor.
        tensor: String,
        /// Its size.
        bytes: u64,
        /// The driver's words.
        message: String,
    },
    /// The device went away.
    #[error("{device}: device lost while {doing} ({message})")]
    DeviceLost {
        /// Name of the device.
        device: String,
        /// What was being done.
        doing: &'static str,
        /// The driver's words.
        message: String,
    },
    /// The device did not answer in time.
    #[error("{device}: no answer within {seconds} s while {doing}")]
    Timeout {
        /// Name of the device.
        device: String,
        /// What was being waited for.
        doing: &'static str,
        /// How long.
        seconds: u64,
    },
    /// The device's driver or the shader compiler refused something.
    #[error("{device}: {doing} failed: {message}")]
    Device {
        /// Name of the device.
        device: String,
        /// What was being done.
        doing: String,
        /// The driver's words.
        message: String,
    },
    /// A kernel from outside the crate is not what it says.
    #[error("kernel `{kernel}`: {message}")]
    Kernel {
        /// Its label.
        kernel: String,
        /// What is wrong with it.
        message: String,
    },
    /// The loss, or a parameter or state of an optimizer that a step made, is NaN or infinite.
    #[error(
        "training: the loss, a parameter or an optimizer state is NaN or infinite at step {step} (epoch {epoch}); try a smaller rate or decay"
    )]
    Diverged {
        /// The first step in which it is, counted from 0.
        step: u32,
        /// Its epoch, counted from 1.
        epoch: u32,
    },
    /// A tensor that would be saved has a number that is NaN or infinite.
    #[error("training: `{tensor}` has a number that is NaN or infinite (epoch {epoch}); try a smaller rate or decay")]
    NotFinite {
        /// Its name.
        tensor: String,
        /// The epoch, counted from 1.
        epoch: u32,
    },
}

/// The crate's results.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A [`Error::Setting`] from anything printable.
    pub fn setting(what: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Setting { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    /// A [`Error::Setting`] with what it is about written before it, unless it says so already: `alpha: expected ...`. Other errors stay as
    /// they are.
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

    /// A [`Error::Shape`] from anything printable.
    pub fn shape(op: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Shape { op: op.into(), expected: expected.into(), got: got.to_string() }
    }

    /// A [`Error::File`] for `map_err`.
    pub fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    /// Whether the user can mend it by writing the command differently (exit code 2).
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Setting { .. } | Self::NoDevice { .. })
    }
}
