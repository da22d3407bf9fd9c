//! `./dev bench`: the figures of design.md section 9, measured on this machine, with its load beside each.
//!
//! Names as arguments choose some: `flood`, `latency`, `signatures`, `cold`, `warm`, `memory`, `readers`, `attestation`, `sumdb`.
//! Nothing is judged here; goals are printed beside what was measured, since a shared machine says little about a quiet one.

mod attestation;
mod cold;
mod cpu;
mod custody;
mod http;
mod memory;
mod pipeline;
mod sumdb;
mod warm;
mod world;

use std::{
    io::Write as _,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

/// One line of the table: what was measured, what came out, and the goal if there is one.
pub(crate) fn say(what: &str, figure: &str, goal: &str) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // Whoever reads the table has gone away, perhaps.
    let _gone = writeln!(out, "{what:<44} {figure:>34}   {goal:<24} load {load}");
}

/// The value below which this share of the measurements lies.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let index = (last as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// The median and the 99th percentile, in milliseconds.
pub(crate) fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |share| percentile(&times, share).as_secs_f64() * 1000.0;
    format!("p50 {:.1} ms, p99 {:.1} ms", ms(0.5), ms(0.99))
}

/// How many per second.
pub(crate) fn rate(number: u64, since: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let number = number as f64;
    number / since.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, file] = &arguments[..]
        && command == "serve-plainly"
    {
        return http::serve_plainly(Path::new(file));
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|a| a == name);
    // Until the end: ext4 looks at each inode that was deleted minutes ago whenever it makes a file.
    let mut kept = Vec::new();
    say("", "measured", "goal");
    if wanted("flood") {
        kept.push(pipeline::flood().await);
    }
    if !wanted("flood") && wanted("signatures") {
        custody::signatures();
    }
    if wanted("latency") {
        kept.extend(pipeline::latency().await);
    }
    if wanted("cold") {
        cold::requests().await;
    }
    if wanted("warm") {
        warm::throughput().await;
    }
    if wanted("memory") {
        memory::of_large_files().await;
    }
    if wanted("readers") {
        memory::under_slow_readers().await;
    }
    if wanted("attestation") {
        attestation::checks();
    }
    if wanted("sumdb") {
        sumdb::lookups();
        sumdb::requests().await;
    }
    ExitCode::SUCCESS
}
