//! Which instruction sets this processor has, and the one that the program uses.

use std::sync::OnceLock;

use super::isa::Isa;
use super::portable;

/// The environment variable that forces an instruction set.
pub const VARIABLE: &str = "PLUSMINUS_ISA";

/// Every instruction set that this processor can run, widest first; `portable` is always the last. Tests run over all
/// of them.
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

/// The instruction set of this process, chosen once: the widest, or the one that `PLUSMINUS_ISA` names.
///
/// # Errors
/// One line, where the variable names a set that does not exist or that this processor lacks.
pub fn active() -> Result<&'static Isa, String> {
    static ACTIVE: OnceLock<Result<&'static Isa, String>> = OnceLock::new();
    ACTIVE.get_or_init(|| choose(asked().as_deref())).clone()
}

/// The choice behind [`active`]: the widest set where nothing is asked, else the one called so.
///
/// # Errors
/// One line naming the variable, what was asked, and what this processor has.
pub fn choose(asked: Option<&str>) -> Result<&'static Isa, String> {
    let all = all();
    let Some(name) = asked else { return Ok(all[0]) };
    all.iter().copied().find(|isa| isa.name == name).ok_or_else(|| {
        let known = ["portable", "avx2", "avx512", "neon"].contains(&name);
        let names: Vec<&str> = all.iter().map(|isa| isa.name).collect();
        let what = if known { "which this processor cannot run" } else { "which is no instruction set" };
        format!("{VARIABLE} is {name:?}, {what}; this processor has {}", names.join(", "))
    })
}

/// What the environment asks for; an empty value asks for nothing.
#[cfg(not(target_family = "wasm"))]
fn asked() -> Option<String> {
    std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// A web page has no environment.
#[cfg(target_family = "wasm")]
fn asked() -> Option<String> {
    None
}

/// The instruction set of [`active`], for kernels: opening the cpu engine reports its error.
pub fn current() -> &'static Isa {
    active().expect("the engine was opened with a valid instruction set")
}
