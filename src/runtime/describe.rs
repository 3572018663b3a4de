//! Descriptions of recordings as text and as serialisable records.

use super::kernel::{Access, BufferId};
use super::program::Program;
use super::recording::{Command, Dispatch};
use serde::Serialize;
use std::fmt;

/// A tensor that a command uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorUse {
    /// Name of the tensor.
    pub name: String,
    /// Element type and shape, such as `F32[100 x 784]`; the number of words for tensors that do not come from a graph.
    pub shape: String,
    /// Bytes, padding included.
    pub bytes: u64,
    /// `read`, `write`, or `atomic`.
    pub access: &'static str,
}

/// One command of a recording.
#[derive(Clone, Debug, Serialize)]
pub struct CommandLine {
    /// `dispatch`, `upload`, `download`, or `cut`.
    pub command: &'static str,
    /// Layer of the command; empty if it has none.
    pub layer: String,
    /// Kernel of a dispatch, or name of a cut.
    pub kernel: String,
    /// Tensors, in the order of the kernel's bindings.
    pub tensors: Vec<TensorUse>,
    /// Total bytes of the tensors.
    pub bytes: u64,
    /// Multiply-adds of a product; 0 for other commands.
    pub multiply_adds: u64,
}

impl Program {
    /// Returns every command of a recording, in order.
    ///
    /// # Panics
    /// Panics if there is no such recording.
    pub fn describe(&self, recording: usize) -> Vec<CommandLine> {
        self.recordings[recording].commands.iter().map(|command| self.describe_command(command)).collect()
    }

    /// Returns the total bytes of the tensors that a dispatch binds.
    pub fn bytes_of(&self, dispatch: &Dispatch) -> u64 {
        dispatch.buffers.iter().map(|arg| 4 * self.buffer(arg.id).words as u64).sum()
    }

    fn describe_command(&self, command: &Command) -> CommandLine {
        let moved = |command, id: &BufferId, access| {
            let tensors = vec![self.describe_tensor(*id, access)];
            let bytes = tensors[0].bytes;
            CommandLine { command, layer: String::new(), kernel: String::new(), tensors, bytes, multiply_adds: 0 }
        };
        match command {
            Command::Upload(id) => moved("upload", id, "write"),
            Command::Download(id) => moved("download", id, "read"),
            Command::Cut(name) => CommandLine {
                command: "cut",
                layer: String::new(),
                kernel: name.clone(),
                tensors: Vec::new(),
                bytes: 0,
                multiply_adds: 0,
            },
            Command::Dispatch(dispatch) => {
                let bindings = dispatch.kernel.interface.bindings.iter();
                let tensors = dispatch.buffers.iter().zip(bindings).map(|(arg, binding)| {
                    let access = match binding.access {
                        Access::Read => "read",
                        Access::Write => "write",
                        Access::Atomic => "atomic",
                    };
                    self.describe_tensor(arg.id, access)
                });
                CommandLine {
                    command: "dispatch",
                    layer: dispatch.scope.clone(),
                    kernel: dispatch.kernel.label().to_string(),
                    tensors: tensors.collect(),
                    bytes: self.bytes_of(dispatch),
                    multiply_adds: dispatch.multiply_adds,
                }
            }
        }
    }

    fn describe_tensor(&self, id: BufferId, access: &'static str) -> TensorUse {
        let info = self.buffer(id);
        let shape = info.ty.as_ref().map_or_else(|| format!("{} words", info.words), ToString::to_string);
        TensorUse { name: info.name.clone(), shape, bytes: 4 * info.words as u64, access }
    }
}

/// Formats a command as one line: command, layer, kernel, work, tensors that are read `->` tensors that are written. Without padding:
///
/// ```text
/// dispatch dense producers::xnor_matmul::xnor_matmul 1.2 MB, 13.1 M multiply-adds x Bits[100 x 512], w Bits[512 x 512] -> y I32[100 x 512]
/// ```
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = match (self.command, self.multiply_adds) {
            ("cut", _) => String::new(),
            (_, 0) => format!("{}B", scaled(self.bytes)),
            (_, count) => format!("{}B, {} multiply-adds", scaled(self.bytes), scaled(count).trim_end()),
        };
        let list = |is_read: bool| {
            let chosen = self.tensors.iter().filter(|tensor| (tensor.access == "read") == is_read);
            chosen.map(|tensor| format!("{} {}", tensor.name, tensor.shape)).collect::<Vec<_>>().join(", ")
        };
        let (read, changed) = (list(true), list(false));
        let arrow = if read.is_empty() || changed.is_empty() { "" } else { " -> " };
        let line =
            format!("{:<8} {:<20} {:<46} {work:<32} {read}{arrow}{changed}", self.command, self.layer, self.kernel);
        f.write_str(line.trim_end())
    }
}

/// Formats a number with an SI prefix.
fn scaled(number: u64) -> String {
    match number {
        0..1_000 => format!("{number} "),
        1_000..1_000_000 => format!("{:.1} k", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.1} G", number as f64 / 1e9),
    }
}
