//! What signing needs: a key ring that can be read, private keys that count by it, and a log that goes as far as Postgres.

use anyhow::{Context as _, Result, bail};
use jiff::SignedDuration;
use touchstone_custody::{KeyKind, Signer as _};
use touchstone_runtime::{Clock as _, Config, SystemClock};

use super::{Found, Test, within};
use crate::{commands, custody};

/// How long before a key ends somebody should rotate it.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The tests.
pub(super) async fn tests(config: &Config) -> Vec<Test> {
    vec![
        ("custody.keyring".to_owned(), ring(config)),
        ("custody.keys".to_owned(), keys(config)),
        ("log".to_owned(), within(log(config)).await),
    ]
}

fn ring(config: &Config) -> Result<Found> {
    if config.database.url.is_none() && !config.keyring().exists() {
        return Ok(Found::Good("not there; standalone makes it, and the keys".to_owned()));
    }
    let ring = custody::ring(&config.keyring())?;
    let revoked = ring.revoked().count();
    Ok(Found::Good(format!(
        "{}: {} key(s), {revoked} revoked",
        config.keyring().display(),
        ring.entries().len()
    )))
}

/// Whether the private keys that are here count by the ring.
fn keys(config: &Config) -> Result<Found> {
    let here: Vec<KeyKind> =
        KeyKind::ALL.into_iter().filter(|kind| custody::key_file(config, *kind).exists()).collect();
    if here.is_empty() {
        return Ok(Found::Good(format!("none in {}", config.keys_dir().display())));
    }
    let (ring, now) = (custody::ring(&config.keyring())?, SystemClock.now());
    let mut ending = vec![];
    for kind in &here {
        let signer = custody::signer(config, *kind, None)?;
        let entry = ring.accept(signer.key_id(), *kind, now).with_context(|| {
            format!(
                "the {kind} key in {} does not count; see `touchstone keys list`",
                config.keys_dir().display()
            )
        })?;
        if entry.not_after.is_some_and(|end| end.duration_since(now) < ENDS_SOON) {
            ending.push(kind.as_str());
        }
    }
    let names: Vec<&str> = here.iter().map(|kind| kind.as_str()).collect();
    let found = format!("{} count", names.join(", "));
    Ok(if ending.is_empty() {
        Found::Good(found)
    } else {
        Found::Warning(format!("{found}; soon to end: {}; see `touchstone keys rotate`", ending.join(", ")))
    })
}

/// Whether the log is published as far as Postgres has it, and Postgres has what is published.
async fn log(config: &Config) -> Result<Found> {
    let dir = config.log_dir();
    if config.database.url.is_none() && !dir.exists() {
        return Ok(Found::Good("not there; standalone begins it".to_owned()));
    }
    let keys = commands::log::keys(config)?;
    let published = commands::log::head(&dir, &keys)?.map_or(0, |head| head.head().size);
    let tip = commands::store(config).await?.log_tip().await?;
    let sealed = tip.seal.as_ref().map_or(0, |(seal, _)| seal.size);
    if published > sealed {
        bail!(
            "{} has {published} entries and the database {sealed}: an older backup was restored; `touchstone log recover` puts back \
             what is missing",
            dir.display()
        );
    }
    let found = format!("{published} of {sealed} entries published in {}", dir.display());
    Ok(if published < sealed { Found::Warning(found) } else { Found::Good(found) })
}
