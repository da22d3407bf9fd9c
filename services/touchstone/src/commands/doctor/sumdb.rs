//! What Go needs: a checksum database that answers under its key, and that is not stopped.

use anyhow::{Context as _, Result, bail};
use jiff::SignedDuration;
use touchstone_console::what_ends;
use touchstone_runtime::Config;
use touchstone_store::{SumdbPoll, SumdbState, SumdbStop};
use touchstone_tlog::{
    SignedHead,
    note::{SignedNote, VerifierKey},
};
use touchstone_upstream::{Limits, Mirror};
use url::Url;

use super::{Found, Test, within};
use crate::{commands, wiring};

/// The document with the latest signed head.
const LATEST: &str = "latest";
/// Bytes of it.
const LATEST_BYTES_MAX: u64 = 64 << 10;
/// After how many missed polls somebody should look.
const POLLS_MISSED_MAX: u32 = 3;

/// The tests; none without an upstream for Go.
pub(super) async fn tests(config: &Config) -> Vec<Test> {
    match wiring::checksum_database(config) {
        Ok(None) => vec![],
        Ok(Some((key, url))) => vec![
            ("sumdb".to_owned(), within(latest(&key, &url)).await),
            ("sumdb.head".to_owned(), within(head(config, &key)).await),
        ],
        Err(error) => vec![("sumdb".to_owned(), Err(error))],
    }
}

/// Whether the database answers, with a head that its key has signed.
async fn latest(key: &VerifierKey, url: &Url) -> Result<Found> {
    let limits = Limits {
        metadata_bytes_max: LATEST_BYTES_MAX,
        attempts_max: 1,
        redirects_max: 3,
        ..Limits::default()
    };
    let next = "no Go module can be checked; correct `upstream.go.sumdb_url`";
    let asked = async { anyhow::Ok(Mirror::new(url, limits)?.document(LATEST, LATEST_BYTES_MAX).await?) };
    let Some(document) = asked.await.context(next)? else { bail!("{url} has no {LATEST}; {next}") };
    let verified = async { anyhow::Ok(SignedHead::from_sumdb(SignedNote::parse(&document)?.verify(key)?)?) };
    let head = verified.await.with_context(|| {
        format!(
            "what {url} answers is no head of {}; correct `upstream.go.sumdb_key` or `sumdb_url`",
            key.id()
        )
    })?;
    Ok(Found::Good(format!("{} has {} records", key.id(), head.head().size)))
}

/// How far we are, and whether Go is stopped.
async fn head(config: &Config, key: &VerifierKey) -> Result<Found> {
    if commands::database(config).is_err() {
        return Ok(Found::Good("kept in the database".to_owned()));
    }
    let SumdbState { head, stop, poll, lineage: _ } =
        commands::store(config).await?.sumdb_state(&key.id()).await?;
    if let Some(SumdbStop { kind, detail, at, .. }) = stop {
        let next = what_ends(kind);
        bail!("STOPPED since {at:.0} ({kind}), and it vouches for nothing new of Go: {detail}; {next}");
    }
    let size = head.map_or(0, |head| head.size);
    let Some(poll) = poll else {
        return Ok(Found::Good(format!("{size} records; the latest head was not asked for yet")));
    };
    let SumdbPoll { latest_size, polled_at, behind_since, now, .. } = poll;
    if let Some(since) = behind_since {
        let behind_max = humantime(config.sumdb.behind_max);
        return Ok(Found::Warning(format!(
            "{size} records, and the latest head has only {latest_size} since {since:.0}; Go is stopped when that lasts \
             longer than {behind_max}"
        )));
    }
    let told =
        format!("{size} records, {} behind; last poll {polled_at:.0}", latest_size.saturating_sub(size));
    let patience = SignedDuration::try_from(config.sumdb.poll * POLLS_MISSED_MAX)?;
    if now.duration_since(polled_at) > patience {
        return Ok(Found::Warning(format!("{told}, and none since; is `touchstone sumdb` running?")));
    }
    Ok(Found::Good(told))
}

fn humantime(duration: std::time::Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |duration| format!("{duration:#}"))
}
