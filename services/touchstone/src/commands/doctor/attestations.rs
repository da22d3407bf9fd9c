//! What attestations need: trust that counts, and the servers that documents come from.

use anyhow::{Context as _, Result, bail};
use touchstone_attest::trust::{Origin, Standing, TrustOptions, TrustReport, report};
use touchstone_domain::Ecosystem;
use touchstone_runtime::{Clock as _, Config, SystemClock};
use touchstone_upstream::{Limits, Mirror, Upstream, Validators};
use url::Url;

use super::{Found, answers};
use crate::commands::{
    database, store,
    trust::{TIMESTAMP, words},
};

/// Bytes of it.
const TIMESTAMP_BYTES_MAX: u64 = 16 << 10;

/// Whose signatures count, as a process that starts now would have it.
pub(super) async fn trust(config: &Config) -> Result<Found> {
    let options = TrustOptions::load(config)?;
    if database(config).is_err() {
        return Ok(Found::Good("the configured files can be used; the rest is in the database".to_owned()));
    }
    let told = report(&options, &store(config).await?, SystemClock.now()).await?;
    if let Some(why) = &told.unavailable {
        bail!("no attestation can be verified, and what requires one stays pending: {why}");
    }
    let sources = sources(&told);
    if let Some(why) = &told.tuf.refused {
        let next = "`touchstone trust refresh` or `import` replaces them";
        return Ok(Found::Warning(format!("{sources}; the stored TUF documents are refused: {why}; {next}")));
    }
    let is_used = told.sources.iter().any(|source| source.origin == Origin::Tuf);
    Ok(match told.tuf.standing.filter(|_| is_used) {
        None => Found::Good(format!("{sources}; {}", words(&Standing::Lasting))),
        Some(standing @ (Standing::Lasting | Standing::Current { .. })) => {
            Found::Good(format!("{sources}; {}", words(&standing)))
        }
        Some(standing @ (Standing::Expiring { .. } | Standing::Grace { .. } | Standing::Expired { .. })) => {
            let next = "`touchstone trust refresh` or `import` renews it";
            Found::Warning(format!("{sources}; {}; {next}", words(&standing)))
        }
    })
}

fn sources(told: &TrustReport) -> String {
    let source = |source: &touchstone_attest::trust::SourceReport| {
        format!("{} {}", source.document, source.origin.as_str())
    };
    told.sources.iter().map(source).collect::<Vec<_>>().join(", ")
}

/// Whether the configured copy of the TUF repository is there. What it says is verified by `touchstone trust refresh`.
pub(super) async fn mirror(url: &Url) -> Result<Found> {
    let limits = Limits {
        metadata_bytes_max: TIMESTAMP_BYTES_MAX,
        attempts_max: 1,
        redirects_max: 3,
        ..Limits::default()
    };
    let next =
        "trust is not refreshed; correct `trust.tuf_url`, or import a copy with `touchstone trust import`";
    let found =
        async { anyhow::Ok(Mirror::new(url, limits)?.document(TIMESTAMP, TIMESTAMP_BYTES_MAX).await?) };
    match found.await.context(next)? {
        Some(_) => Ok(Found::Good(format!("{} has {TIMESTAMP}", url.origin().ascii_serialization()))),
        None => bail!("{url} has no {TIMESTAMP}; {next}"),
    }
}

/// Whether the server answers that attestations are fetched from: with keys, or that it has no such document.
pub(super) async fn documents(ecosystem: Ecosystem, upstream: &Upstream) -> Result<Found> {
    let path = match ecosystem {
        Ecosystem::Npm => "-/npm/v1/keys",
        Ecosystem::Pypi => "integrity/pip/1.0.0/pip-1.0.0.tar.gz/provenance",
        Ecosystem::Cargo | Ecosystem::Go => {
            return Ok(Found::Good("not used: there is nothing to verify".to_owned()));
        }
    };
    let url = upstream.attestations_url(path)?;
    let answer = answers(&url, upstream.metadata(&url, "*/*", &Validators::default()).await);
    answer.with_context(|| {
        let key = if ecosystem == Ecosystem::Pypi { "provenance_url" } else { "attestations_url" };
        format!("attestations cannot be fetched, and what has any stays pending; correct `upstream.{ecosystem}.{key}`")
    })
}
