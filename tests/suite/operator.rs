//! What operators run and ask: the real binary, its commands, and the console's API.

mod blocked;
mod commands;
mod console;
mod discover;
mod doctor;
mod keys;
mod output;
mod recheck;
mod standalone;
mod sumdb;
mod tls;
mod upgrade;
mod why;

use std::{
    path::Path,
    process::{Command, Output},
};

use touchstone_testkit::touchstone_binary;

/// The binary, in a directory of its own, with nothing of the developer's own settings.
fn touchstone(directory: &Path) -> Command {
    let mut command = Command::new(touchstone_binary());
    command.current_dir(directory).env_remove("TOUCHSTONE_CONFIG").env("RUST_LOG", "off");
    command
}

/// Runs it to its end.
fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    said(touchstone(directory).args(arguments).output().expect("the command runs"))
}

/// Makes every key, and the ring of those that count.
fn make_keys(directory: &Path) {
    let (code, _, problem) = run(directory, &["keys", "init"]);
    assert_eq!(code, Some(0), "{problem}");
}

/// Exit code, standard output, standard error.
fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
