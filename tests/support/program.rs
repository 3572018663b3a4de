//! Runs the program as a user does.
#![allow(dead_code, reason = "each test file uses a part of it")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Returns a command for the program with arguments and without environment variables that affect it.
pub fn plusminus(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plusminus"));
    command.args(args).env("RUST_BACKTRACE", "0").env_remove("PLUSMINUS_ISA").stdin(Stdio::null());
    command
}

pub fn run(args: &[&str]) -> Output {
    plusminus(args).output().unwrap()
}

pub fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Returns the program's own lines on stderr (graphics drivers also write there).
pub fn said(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text.lines().filter(|line| line.starts_with("plusminus: ")).map(String::from).collect()
}

/// Asserts that the command fails with this exit code and writes one line that contains all of the words.
pub fn refused(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said:?}");
    assert_eq!(said.len(), 1, "{args:?}: {said:?}");
    for word in words {
        assert!(said[0].contains(word), "{args:?}: expected `{word}` in: {}", said[0]);
    }
}

/// Returns a temporary folder.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Returns the path of a file in a folder as text.
pub fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}
