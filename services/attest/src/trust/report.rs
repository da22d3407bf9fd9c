//! What `touchstone trust show` tells: whose signatures count, since when, until when, and what counted before.

use jiff::Timestamp;
use serde::Serialize;
use touchstone_attestation::{Authority, KeyUsage, RegistryKeys};
use touchstone_domain::Sha256;
use touchstone_store::{Store, StoreError, TrustHistoryEntry};

use super::{
    choice::{Choice, Origin, Standing, choose, standing},
    concern::{Concern, tell},
    options::TrustOptions,
    renew::{Kept, judged_at, stored},
    set::TufRole,
};

/// How many entries of the history are told.
const HISTORY_MAX: usize = 50;

/// Everything about trust.
#[derive(Debug, Serialize)]
pub struct TrustReport {
    /// Why nothing can be verified, if so.
    pub unavailable: Option<String>,
    /// What there is to worry about besides.
    pub concerns: Vec<Concern>,
    /// Where the documents that count come from; none while nothing can be chosen.
    pub sources: Vec<SourceReport>,
    /// The TUF repository.
    pub tuf: TufReport,
    /// Who may certify, log and timestamp.
    pub authorities: Vec<Authority>,
    /// The registry's keys.
    pub keys: Vec<KeyReport>,
    /// What ever counted, the latest first.
    pub history: Vec<HistoryReport>,
}

/// A document that counts.
#[derive(Debug, Serialize)]
pub struct SourceReport {
    /// `sigstore_root` or `npm_keys`.
    pub document: &'static str,
    /// Where it comes from.
    pub origin: Origin,
    /// Its digest, which verdicts name.
    pub sha256: Sha256,
}

/// The TUF repository.
#[derive(Debug, Serialize)]
pub struct TufReport {
    /// The mirror that is asked.
    pub url: Option<String>,
    /// Where the pinned root is from.
    pub pin: Origin,
    /// The digest of the pinned root.
    pub pinned_root: Sha256,
    /// The target of the registry's keys.
    pub keys_target: Option<String>,
    /// The roles of what is stored; none if nothing is, or it is refused.
    pub roles: Vec<TufRole>,
    /// Why what is stored is refused, if so.
    pub refused: Option<String>,
    /// When it was stored, by the database's clock: when the repository was last heard of.
    pub stored_at: Option<Timestamp>,
    /// How what is stored stands.
    pub standing: Option<Standing>,
}

/// A key of the registry.
#[derive(Debug, Serialize)]
pub struct KeyReport {
    /// Its id.
    pub id: String,
    /// What it signs.
    pub usage: KeyUsage,
    /// From when, inclusive.
    pub start: Option<Timestamp>,
    /// Until when, inclusive.
    pub end: Option<Timestamp>,
}

/// A document that counted once.
#[derive(Debug, Serialize)]
pub struct HistoryReport {
    /// `sigstore_root`, `npm_keys` or `tuf_root`.
    pub kind: &'static str,
    /// Its digest.
    pub sha256: Sha256,
    /// Where it came from first.
    pub origin: String,
    /// When.
    pub at: Timestamp,
}

/// Tells what a process would use at a moment, from the configuration and the database.
pub async fn report(
    options: &TrustOptions,
    store: &Store,
    now: Timestamp,
) -> Result<TrustReport, StoreError> {
    let kept = stored(options, store).await?;
    let history = store.trust_history().await?;
    Ok(told(options, &kept, &history, now))
}

fn told(options: &TrustOptions, kept: &Kept, history: &[TrustHistoryEntry], now: Timestamp) -> TrustReport {
    let loaded = &kept.loaded;
    let choice = choose(options, loaded);
    let stored_at = kept.at.map(|stored| stored.at);
    let mut told = tell(options, (loaded, &choice), stored_at, now);
    if told.unavailable.is_some() {
        // It stands in its own place.
        told.concerns.remove(0);
    }
    let set = loaded.as_ref().ok().and_then(Option::as_ref);
    let chosen = choice.as_ref().ok();
    TrustReport {
        unavailable: told.unavailable.map(|unavailable| unavailable.to_string()),
        concerns: told.concerns,
        sources: chosen.map(sources).unwrap_or_default(),
        tuf: TufReport {
            url: options.mirror_url.clone(),
            pin: options.pin_origin(),
            pinned_root: Sha256::of(&options.pin.root),
            keys_target: options.pin.keys.as_ref().map(|target| target.path.clone()),
            roles: set.map(|set| set.roles.clone()).unwrap_or_default(),
            refused: loaded.as_ref().err().cloned(),
            stored_at,
            standing: set.map(|set| standing(Some(set.expires_first()), judged_at(now, stored_at), options)),
        },
        authorities: chosen.map(|chosen| chosen.trust.root.summary().authorities.clone()).unwrap_or_default(),
        keys: chosen.map(|chosen| keys(&chosen.trust.keys)).unwrap_or_default(),
        history: history
            .iter()
            .take(HISTORY_MAX)
            .map(|entry| HistoryReport {
                kind: entry.kind.as_str(),
                sha256: entry.sha256,
                origin: entry.origin.clone(),
                at: entry.at,
            })
            .collect(),
    }
}

fn sources(choice: &Choice) -> Vec<SourceReport> {
    let (root, keys) = (choice.trust.root.digest(), choice.trust.keys.digest());
    vec![
        SourceReport { document: "sigstore_root", origin: choice.root_origin, sha256: root },
        SourceReport { document: "npm_keys", origin: choice.keys_origin, sha256: keys },
    ]
}

fn keys(keys: &RegistryKeys) -> Vec<KeyReport> {
    let told = |key: &touchstone_attestation::RegistryKey| KeyReport {
        id: key.id().to_owned(),
        usage: key.usage(),
        start: key.start(),
        end: key.end(),
    };
    keys.iter().map(told).collect()
}
