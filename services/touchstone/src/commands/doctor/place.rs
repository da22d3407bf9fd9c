//! Whether this is the place that somebody means: a configuration or a key ring, and the directory of the blobs.

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result, bail};
use touchstone_runtime::Config;

use super::Found;

/// Where neither is, there is no installation, and all that is well of it is that nothing is there.
pub(super) fn configuration(config: &Config, file: Option<&Path>) -> Found {
    let ring = config.keyring();
    match file {
        Some(file) => Found::Good(file.display().to_string()),
        None if ring.exists() => Found::Good(format!("no file; there is a key ring, {}", ring.display())),
        None => Found::Warning(format!(
            "neither a touchstone.toml nor the key ring {} is there: here is no installation, or none yet; run this where its \
             touchstone.toml is, or name that with `-c FILE`",
            ring.display()
        )),
    }
}

/// Whether the directory of the blobs is there, and can be read. The roles that use it make it.
pub(super) async fn blobs(config: &Config) -> Result<Found> {
    let directory = config.blobs_dir()?;
    let shown = directory.display().to_string();
    let read = move || fs::read_dir(directory)?.next().transpose();
    match tokio::task::spawn_blocking(read).await.context("the test was stopped")? {
        Ok(Some(_)) => Ok(Found::Good(shown)),
        Ok(None) => Ok(Found::Warning(format!(
            "{shown} is empty: no role has used it yet, or what belongs there is not mounted"
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && config.database.url.is_none() => {
            Ok(Found::Good("not there; standalone makes it".to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Warning(format!(
            "{shown} is not there; a role that uses it makes it, if nothing else is to be mounted there"
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => bail!("{shown} is no directory"),
        Err(error) => Err(error).with_context(|| format!("cannot read {shown}")),
    }
}
