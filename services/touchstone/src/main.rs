//! The one binary: every role, standalone, and the commands of operators.

mod cli;
mod commands;
mod counted;
mod custody;
mod logins;
mod roles;
mod standalone;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;
use touchstone_runtime::{Chain, Environment, telemetry};

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let environment = Environment::of_process();
    if let Err(error) = telemetry::init(&environment) {
        eprintln!("error: {}", Chain(&error));
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(cli::run(cli, &environment));
    if let Some(error) = commands::unsaid() {
        eprintln!("error: cannot write to standard output: {error}");
    }
    match ended {
        Ok(code) if code == ExitCode::SUCCESS && commands::unsaid().is_some() => ExitCode::FAILURE,
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
