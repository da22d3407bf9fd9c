//! A verified set of TUF documents, and the walk that verifies one: from the pinned root, over what is known already, to the
//! targets. The TUF client workflow is `sigstore-tuf`'s (TUF specification 1.0.34, section 5).
//!
//! *Invariant:* only [`walk`] makes a [`TufSet`]. Every signature, version, length and digest in it was checked from the
//! pinned root, wherever its bytes came from.
//!
//! *Invariant:* nothing older than the floor is accepted, whatever the clock says.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;
use serde::Serialize;
use sigstore_tuf::{Error, Repository, TrustedMetadataSet, Updater, UpdaterConfig};
use touchstone_attestation::{RegistryKeys, RegistryKeysError, TrustRoot, TrustRootError};
use touchstone_upstream::FetchError;

use super::{
    document::{METADATA_BYTES_MAX, inspect},
    repository::{Files, Inspected, Memory, Stored},
};

/// The target that holds the sigstore root.
const ROOT_TARGET: &str = "trusted_root.json";
/// Bytes of a target.
pub(crate) const TARGET_BYTES_MAX: u64 = 1 << 20;

/// Where verification begins, and what is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    /// The pinned TUF root.
    pub(crate) root: Vec<u8>,
    /// The target that holds the registry's keys.
    pub(crate) keys: Option<KeysTarget>,
}

/// The target that holds the registry's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeysTarget {
    /// Its path.
    pub(crate) path: String,
    /// Whether a set without it is refused: somebody has named it.
    pub(crate) required: bool,
}

/// A role of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TufRole {
    /// `root`, `timestamp`, `snapshot`, `targets`, or the name of a delegation.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// Until when it counts.
    pub expires: Timestamp,
}

/// A verified set.
pub(crate) struct TufSet {
    /// The documents, as they are stored.
    pub(crate) files: Arc<Files>,
    /// The roles on the way to the targets, the top-level ones first.
    pub(crate) roles: Vec<TufRole>,
    /// The latest TUF root.
    pub(crate) tuf_root: Vec<u8>,
    /// The sigstore root.
    pub(crate) root: Arc<TrustRoot>,
    /// The registry's keys, if the repository has them.
    pub(crate) keys: Option<Arc<RegistryKeys>>,
}

/// Why TUF documents are refused.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// The pinned root.
    #[error("the pinned TUF root is refused")]
    Pin(#[source] Error),
    /// Metadata, or a target's bytes.
    #[error("the TUF repository is refused")]
    Refused(#[source] Error),
    /// The mirror did not answer, or with an error: what it has is not known.
    #[error("the TUF repository cannot be asked")]
    Unreachable(#[source] Error),
    /// The sigstore root is signed as it should be and yet cannot be used.
    #[error("the target {ROOT_TARGET} cannot be used")]
    Root(#[source] TrustRootError),
    /// So are the registry's keys.
    #[error("the target {path} cannot be used")]
    Keys {
        /// The target.
        path: String,
        /// Why.
        #[source]
        source: RegistryKeysError,
    },
    /// The walk did not end in time.
    #[error("the TUF repository took longer than {0:?} in all")]
    TooSlow(Duration),
}

impl TufSet {
    /// The role that expires first.
    pub(crate) fn expires_first(&self) -> &TufRole {
        self.roles.iter().min_by_key(|role| role.expires).expect("the root is a role")
    }
}

impl fmt::Debug for TufSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TufSet").field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// Verifies what was stored, from the pinned root. When it expires is for the caller to ask.
pub(crate) fn verify(pin: &Pin, files: &Arc<Files>) -> Result<TufSet, TufError> {
    walk_offline(pin, Stored(Arc::clone(files)), &Files::new(), Timestamp::MIN)
}

/// [`walk`] over a repository that never waits.
pub(crate) fn walk_offline(
    pin: &Pin,
    repository: impl Repository + 'static,
    floor: &Files,
    at: Timestamp,
) -> Result<TufSet, TufError> {
    walk(pin, repository, floor, at).now_or_never().expect("files in memory or on disk are there at once")
}

/// Goes from the pinned root to the targets. Nothing older than the `floor` is accepted, which need not be a whole set: what
/// of it is signed as it should be counts. What has expired by `at` is refused.
pub(crate) async fn walk(
    pin: &Pin,
    repository: impl Repository + 'static,
    floor: &Files,
    at: Timestamp,
) -> Result<TufSet, TufError> {
    inspect("the pinned root", &pin.root).map_err(TufError::Pin)?;
    // A document of two readings must not stand for the honest one of the same version.
    let signed = floor.iter().filter(|(name, bytes)| inspect(name, bytes).is_ok());
    let memory = Memory::new(signed.map(|(name, bytes)| (name.clone(), bytes.clone())).collect());
    let mut updater = Updater::new(Inspected(repository), &pin.root)
        .map_err(TufError::Pin)?
        .with_config(limits())
        .with_store(memory.clone());
    updater.refresh(at).await.map_err(failed)?;
    let root = updater.get_target(ROOT_TARGET, at).await.map_err(failed)?;
    let mut targets = BTreeMap::from([(ROOT_TARGET, root)]);
    if let Some(keys) = &pin.keys {
        match updater.get_target(&keys.path, at).await {
            Ok(bytes) => drop(targets.insert(&keys.path, bytes)),
            Err(Error::TargetNotFound(_)) if !keys.required => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let trusted = updater.trusted();
    let roles = roles(trusted);
    let files = Arc::new(kept(&memory, &roles, trusted.root().version, &targets));
    let root = TrustRoot::from_json(&targets[ROOT_TARGET]).map_err(TufError::Root)?;
    let keys = pin.keys.as_ref().and_then(|keys| Some((&keys.path, targets.get(keys.path.as_str())?)));
    let keys = keys.map(|(path, bytes)| {
        RegistryKeys::from_json(bytes)
            .map(Arc::new)
            .map_err(|source| TufError::Keys { path: path.clone(), source })
    });
    Ok(TufSet {
        files,
        roles,
        tuf_root: trusted.root_bytes().to_vec(),
        root: Arc::new(root),
        keys: keys.transpose()?,
    })
}

/// Whether it is the repository that is refused, or nobody knows what it has.
fn failed(error: Error) -> TufError {
    let cause = match &error {
        Error::Transport { source: Some(source), .. } => source.downcast_ref::<FetchError>(),
        _ => None,
    };
    if cause.is_some_and(is_outage) { TufError::Unreachable(error) } else { TufError::Refused(error) }
}

/// Whether the server did not answer, or not as one that has documents.
fn is_outage(error: &FetchError) -> bool {
    match error {
        FetchError::Unreachable { .. }
        | FetchError::Timeout { .. }
        | FetchError::Truncated { .. }
        | FetchError::Status { .. }
        | FetchError::NotFound { .. }
        | FetchError::BreakerOpen { .. } => true,
        FetchError::Egress(_)
        | FetchError::TooLarge { .. }
        | FetchError::Encoding { .. }
        | FetchError::Malformed { .. }
        | FetchError::Redirects { .. }
        | FetchError::NotAnArtifact { .. }
        | FetchError::Empty { .. }
        | FetchError::Request { .. } => false,
    }
}

/// Bounds of the walk.
fn limits() -> UpdaterConfig {
    let mut limits = UpdaterConfig::default();
    limits.root_max_length = 512 << 10;
    limits.timestamp_max_length = 16 << 10;
    limits.snapshot_max_length = METADATA_BYTES_MAX as u64;
    limits.targets_max_length = METADATA_BYTES_MAX as u64;
    limits.target_max_length = TARGET_BYTES_MAX;
    limits.max_root_rotations = 32;
    limits.max_delegations = 16;
    limits
}

/// Every role that was loaded.
fn roles(trusted: &TrustedMetadataSet) -> Vec<TufRole> {
    let role = |name: &str, version, expires| TufRole { name: name.to_owned(), version, expires };
    let root = trusted.root();
    let (timestamp, snapshot) = (trusted.timestamp(), trusted.snapshot());
    let pinned = snapshot.into_iter().flat_map(|snapshot| snapshot.meta.keys());
    let mut delegated: Vec<&str> = pinned.filter_map(|name| name.strip_suffix(".json")).collect();
    // The top level comes first.
    delegated.sort_by_key(|name| *name != "targets");
    let targets = delegated.into_iter().filter_map(|name| Some((name, trusted.targets_role(name)?)));
    std::iter::once(role("root", root.version, root.expires))
        .chain(timestamp.map(|found| role("timestamp", found.version, found.expires)))
        .chain(snapshot.map(|found| role("snapshot", found.version, found.expires)))
        .chain(targets.map(|(name, found)| role(name, found.version, found.expires)))
        .collect()
}

/// What of the memory makes up the set: what is left of older ones stays behind.
fn kept(memory: &Memory, roles: &[TufRole], root_version: u64, targets: &BTreeMap<&str, Vec<u8>>) -> Files {
    let roots = (0..=32).filter_map(|back| root_version.checked_sub(back));
    let roots = roots.map(|version| format!("root_history/{version}.root.json"));
    let metadata = roles.iter().filter(|role| role.name != "root").map(|role| format!("{}.json", role.name));
    let files = roots.chain(metadata).filter_map(|name| memory.get(&name).map(|bytes| (name, bytes)));
    let targets = targets.iter().map(|(path, bytes)| (format!("targets/{path}"), bytes.clone()));
    files.chain(targets).collect()
}
