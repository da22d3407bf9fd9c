//! Which document counts: the operator's file, else the TUF repository's, else the one that came with the program.
//!
//! *Invariant:* a source that is there and bad never gives way to a weaker one; there is no trust then, and nothing passes.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use touchstone_attestation::{RegistryKeys, TrustRoot};
use touchstone_domain::Sha256;

use super::{
    options::TrustOptions,
    set::{TufRole, TufSet},
};

/// Whose signatures count, at one moment.
#[derive(Clone)]
pub struct Trust {
    /// Certificate authorities, logs and timestamp authorities.
    pub root: Arc<TrustRoot>,
    /// The npm registry's keys.
    pub keys: Arc<RegistryKeys>,
    /// What publish attestations must name as their registry, if that is configured.
    pub npm_registry: Option<String>,
}

impl Trust {
    /// The digests of the documents, for the verdict that rests on them.
    pub fn digests(&self) -> Vec<Sha256> {
        vec![self.root.digest(), self.keys.digest()]
    }
}

/// Why nothing can be verified. Not a verdict: it is tried again when an operator has acted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustUnavailable {
    /// The stored TUF documents do not verify.
    #[error(
        "the stored TUF documents are refused: {0}; `touchstone trust refresh` or `import` replaces them"
    )]
    Refused(String),
    /// They have expired, and the grace is over.
    #[error(
        "the TUF {role} metadata expired at {expires}, and the grace of {grace:?} is over; `touchstone trust refresh` or \
         `import` renews it"
    )]
    Expired {
        /// The role that expired first.
        role: String,
        /// When.
        expires: Timestamp,
        /// `[trust] grace`.
        grace: Duration,
    },
    /// The TUF root or the target of the keys is the operator's own, and its repository was never seen.
    #[error(
        "`trust.{key}` is set, and nothing was refreshed or imported yet; `touchstone trust refresh` or `import` does"
    )]
    Nothing {
        /// The key of `[trust]`.
        key: &'static str,
    },
    /// The TUF root is the operator's own, and its repository does not have the registry's keys.
    #[error(
        "`trust.tuf_root` is set, and its repository has no target {target} with the npm registry's keys; name the target \
         in `trust.npm_keys_target`, or a file with the keys in `trust.npm_keys`"
    )]
    NoKeys {
        /// The target.
        target: String,
    },
}

/// Where a document comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A file of the operator's.
    File,
    /// The TUF repository.
    Tuf,
    /// The program.
    Embedded,
}

impl Origin {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Tuf => "tuf",
            Self::Embedded => "embedded",
        }
    }
}

/// The documents that count, and where they come from.
#[derive(Clone)]
pub(crate) struct Choice {
    pub(crate) trust: Trust,
    pub(crate) root_origin: Origin,
    pub(crate) keys_origin: Origin,
    /// The role that expires first, if a document comes from the TUF repository.
    pub(crate) expires: Option<TufRole>,
}

/// The set that was loaded, `None` if there never was one, or why it is refused.
pub(crate) type Loaded = Result<Option<Arc<TufSet>>, String>;

/// Chooses each document. Nothing that is built in counts for who has a TUF root of their own, and the built-in keys count
/// for nobody who has said where theirs are.
pub(crate) fn choose(options: &TrustOptions, loaded: &Loaded) -> Result<Choice, TrustUnavailable> {
    let set = || loaded.as_ref().map(Option::as_ref).map_err(|why| TrustUnavailable::Refused(why.clone()));
    let (root, root_origin) = match &options.root {
        Some(root) => (root, Origin::File),
        None => match set()? {
            Some(set) => (&set.root, Origin::Tuf),
            None if options.own_pin => return Err(TrustUnavailable::Nothing { key: "tuf_root" }),
            None => (&options.embedded_root, Origin::Embedded),
        },
    };
    let (keys, keys_origin) = match &options.keys {
        Some(keys) => (keys, Origin::File),
        None => match set()?.map(|set| set.keys.as_ref()) {
            Some(Some(keys)) => (keys, Origin::Tuf),
            found => {
                built_in_keys(options, found.is_some())?;
                (&options.embedded_keys, Origin::Embedded)
            }
        },
    };
    let trust =
        Trust { root: Arc::clone(root), keys: Arc::clone(keys), npm_registry: options.npm_registry.clone() };
    let rests = [root_origin, keys_origin].contains(&Origin::Tuf);
    let expires = set().ok().flatten().filter(|_| rests).map(|set| set.expires_first().clone());
    Ok(Choice { trust, root_origin, keys_origin, expires })
}

/// Whether the built-in keys may stand in. Where no target is looked for there is no npm upstream, and nobody asks for keys.
fn built_in_keys(options: &TrustOptions, refreshed: bool) -> Result<(), TrustUnavailable> {
    match &options.pin.keys {
        _ if options.own_pin && !refreshed => Err(TrustUnavailable::Nothing { key: "tuf_root" }),
        Some(target) if options.own_pin => Err(TrustUnavailable::NoKeys { target: target.path.clone() }),
        Some(target) if target.required => Err(TrustUnavailable::Nothing { key: "npm_keys_target" }),
        Some(_) | None => Ok(()),
    }
}

/// How a choice stands at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Standing {
    /// Nothing in it expires by itself: files, and what came with the program.
    Lasting,
    /// It is current.
    Current {
        /// What expires first.
        first: TufRole,
    },
    /// It expires soon: somebody should look.
    Expiring {
        /// What expires first.
        first: TufRole,
    },
    /// It has expired, and counts for a little longer.
    Grace {
        /// What has expired.
        first: TufRole,
        /// Until when it counts.
        until: Timestamp,
    },
    /// It counts no longer.
    Expired {
        /// What has expired.
        first: TufRole,
    },
}

/// How a role that expires first stands. Both ends are inclusive, as in TUF.
pub(crate) fn standing(first: Option<&TufRole>, now: Timestamp, options: &TrustOptions) -> Standing {
    let Some(first) = first.cloned() else { return Standing::Lasting };
    let until = later(first.expires, options.grace);
    if now > until {
        Standing::Expired { first }
    } else if now > first.expires {
        Standing::Grace { first, until }
    } else if later(now, options.warn_before) > first.expires {
        Standing::Expiring { first }
    } else {
        Standing::Current { first }
    }
}

/// The trust of a choice, while it counts.
pub(crate) fn at(choice: &Choice, now: Timestamp, options: &TrustOptions) -> Result<Trust, TrustUnavailable> {
    match standing(choice.expires.as_ref(), now, options) {
        Standing::Expired { first: TufRole { name: role, expires, .. } } => {
            Err(TrustUnavailable::Expired { role, expires, grace: options.grace })
        }
        Standing::Lasting | Standing::Current { .. } | Standing::Expiring { .. } | Standing::Grace { .. } => {
            Ok(choice.trust.clone())
        }
    }
}

/// A moment later; the last one there is, if beyond it.
fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.saturating_add(by).unwrap_or(Timestamp::MAX)
}
