//! Detection of the processor's instruction sets and selection of the one that the program uses.

use std::sync::OnceLock;

use super::isa::Isa;
use super::portable;

/// The environment variable that forces an instruction set.
pub const VARIABLE: &str = "PLUSMINUS_ISA";

/// Returns every instruction set that this processor can run, widest first; `portable` is always the last. Tests run
/// each of them.
pub fn all() -> Vec<&'static Isa> {
    let mut all: Vec<&'static Isa> = vec![&portable::ISA];
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("popcnt");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vpopcntdq")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("gfni");
        if avx2 {
            all.push(&super::avx2::ISA);
        }
        if avx2 && avx512 {
            all.push(&super::avx512::ISA);
        }
    }
    #[cfg(target_arch = "aarch64")]
    all.push(&super::neon::ISA);
    all.reverse();
    all
}

/// Returns the instruction set of this process, selected once: the widest, or the one that `PLUSMINUS_ISA` names.
///
/// # Errors
/// Fails if the variable names a set that does not exist or that this processor cannot run. The message is one line.
pub fn active() -> Result<&'static Isa, String> {
    static ACTIVE: OnceLock<Result<&'static Isa, String>> = OnceLock::new();
    ACTIVE.get_or_init(|| choose(asked().as_deref())).clone()
}

/// Returns the instruction set with the requested name, or the widest for `None`.
///
/// # Errors
/// Fails if there is no such set on this processor. The message is one line with the variable, the requested name and the
/// available sets.
pub fn choose(asked: Option<&str>) -> Result<&'static Isa, String> {
    let all = all();
    let Some(name) = asked else { return Ok(all[0]) };
    all.iter().copied().find(|isa| isa.name == name).ok_or_else(|| {
        let known = ["portable", "avx2", "avx512", "neon"].contains(&name);
        let names: Vec<&str> = all.iter().map(|isa| isa.name).collect();
        let what = if known { "which this processor cannot run" } else { "which is not an instruction set" };
        format!("{VARIABLE} is {name:?}, {what}; this processor has {}", names.join(", "))
    })
}

/// Returns the name requested by the environment variable; an unset or empty variable requests none.
#[cfg(not(target_family = "wasm"))]
fn asked() -> Option<String> {
    std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// Returns `None`: a web page has no environment variables.
#[cfg(target_family = "wasm")]
fn asked() -> Option<String> {
    None
}

/// Returns the instruction set of [`active`].
///
/// # Panics
/// Panics if [`active`] fails. Kernels run only after the CPU engine was opened, which reports that error.
pub fn current() -> &'static Isa {
    active().expect("the engine was opened with a valid instruction set")
}
