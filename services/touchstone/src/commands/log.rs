//! `touchstone log`: the transparency log, as it is published, and as Postgres has it.

mod recover;
mod verify;

use std::{fmt::Write as _, io, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use touchstone_runtime::Config;
use touchstone_tlog::SignedHead;
use touchstone_translog::{LogKeys, LogReader};

use crate::custody;

pub(crate) use recover::{Marked, recover};
pub(crate) use verify::verify;

/// Prints how far the log goes, by everybody's word; exit code 1 when something is missing or does not count.
pub(crate) async fn show(config: &Config) -> Result<ExitCode> {
    let keys = keys(config)?;
    let tip = super::store(config).await?.log_tip().await?;
    let mut code = ExitCode::SUCCESS;
    let mut out = format!("log         {}\n", keys.origin());
    match &tip.seal {
        Some((seal, at)) => {
            let _infallible = writeln!(
                out,
                "database    {} entries, root {}\nlast seal   {at:.0}",
                seal.size,
                seal.root.to_base64()
            );
        }
        None => out += "database    empty\nlast seal   never\n",
    }
    let published = config.log_dir();
    let witnesses = config.log.witness_dirs.iter().map(|dir| ("witness", dir.as_path()));
    for (label, dir) in std::iter::once(("published", published.as_path())).chain(witnesses) {
        let line = match head(dir, &keys) {
            Ok(Some(head)) => {
                let head = head.head();
                format!("{} entries, root {}  in {}", head.size, head.root.to_base64(), dir.display())
            }
            Ok(None) => format!("nothing yet  in {}", dir.display()),
            Err(error) => {
                code = ExitCode::FAILURE;
                format!("DOES NOT COUNT: {error:#}  in {}", dir.display())
            }
        };
        let _infallible = writeln!(out, "{label:<12}{line}");
    }
    out += &cosigned(&published);
    super::say(&out);
    Ok(code)
}

/// What witnesses that are asked over HTTP have signed last.
fn cosigned(published: &Path) -> String {
    let mut names: Vec<_> = std::fs::read_dir(published.join("witness"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let mut out = String::new();
    for name in names {
        let path = published.join("witness").join(&name);
        let size = std::fs::read_to_string(path).ok().and_then(|note| note.lines().nth(1).map(str::to_owned));
        let _infallible =
            writeln!(out, "{:<12}{} entries cosigned by {name}", "witness", size.as_deref().unwrap_or("?"));
    }
    out
}

/// The log keys that count.
pub(crate) fn keys(config: &Config) -> Result<LogKeys> {
    let ring = custody::ring(&config.keyring())?;
    LogKeys::of(&ring, &config.custody.environment).context("the log's keys cannot be used")
}

/// The verified checkpoint that is published in a directory.
pub(crate) fn head(dir: &Path, keys: &LogKeys) -> Result<Option<SignedHead>> {
    match std::fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.with_context(|| format!("cannot look at {}", dir.display()))?,
    };
    Ok(LogReader::open(dir)?.head(keys)?)
}

/// A bar over so many entries, on standard error.
fn progress(what: &'static str, entries: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<28} {bar:30} {pos}/{len} entries, {eta} left");
    let style = style.expect("a valid template");
    ProgressBar::new(entries).with_style(style).with_message(what)
}
