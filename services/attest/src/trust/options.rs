//! What trust is configured with, read and checked once at the start.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use touchstone_attestation::{RegistryKeys, RegistryKeysError, TrustRoot, TrustRootError};
use touchstone_runtime::config::{Config, TrustSection};
use touchstone_upstream::{Limits, Mirror, MirrorError};

use super::{
    choice::Origin,
    document::{METADATA_BYTES_MAX, inspect},
    set::{KeysTarget, Pin, TARGET_BYTES_MAX, TufError},
};

/// The TUF root that counts when none is configured: that of sigstore's public-good instance, version 16, from its TUF
/// repository, as sigstore-trust-root 0.15.1 ships it. Public data that its own signatures protect, Apache-2.0. A copy stands
/// here because that crate hands it out only with its feature `tuf`, which brings `directories` and with it `option-ext`,
/// whose licence, MPL-2.0, `deny.toml` refuses.
pub(crate) const EMBEDDED_TUF_ROOT: &[u8] = include_bytes!("tuf_root.json");

/// The sources of trust of a mirror.
#[derive(Clone)]
pub struct TrustOptions {
    /// The operator's files.
    pub(crate) root: Option<Arc<TrustRoot>>,
    pub(crate) keys: Option<Arc<RegistryKeys>>,
    /// What came with the program.
    pub(crate) embedded_root: Arc<TrustRoot>,
    pub(crate) embedded_keys: Arc<RegistryKeys>,
    pub(crate) pin: Pin,
    /// Whether the TUF root is the operator's: then the embedded sigstore root is none of theirs.
    pub(crate) own_pin: bool,
    pub(crate) mirror: Option<Mirror>,
    /// Where the mirror is, for people.
    pub(crate) mirror_url: Option<String>,
    pub(crate) npm_registry: Option<String>,
    pub(crate) refresh: Duration,
    pub(crate) warn_before: Duration,
    pub(crate) grace: Duration,
}

/// Why trust cannot be configured so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustOptionsError {
    /// A file cannot be read.
    #[error("`trust.{key}`: cannot read {path}", path = path.display())]
    File {
        /// The key of `[trust]`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The sigstore root.
    #[error("`trust.sigstore_root`: {path} is refused", path = path.display())]
    SigstoreRoot {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TrustRootError,
    },
    /// The registry's keys.
    #[error("`trust.npm_keys`: {path} is refused", path = path.display())]
    NpmKeys {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RegistryKeysError,
    },
    /// The TUF root.
    #[error("`trust.tuf_root`: {path} is refused", path = path.display())]
    TufRoot {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TufError,
    },
    /// The address of the mirror.
    #[error("`trust.tuf_url` {0}")]
    Mirror(MirrorError),
}

impl TrustOptions {
    /// Reads the files that `[trust]` names. What is wrong with one of them is an error, and never a reason to use another.
    pub fn load(config: &Config) -> Result<Self, TrustOptionsError> {
        let section = &config.trust;
        let root = section.sigstore_root.as_deref().map(|path| {
            let bytes = read("sigstore_root", path, TARGET_BYTES_MAX)?;
            TrustRoot::from_json(&bytes)
                .map(Arc::new)
                .map_err(|source| TrustOptionsError::SigstoreRoot { path: path.to_owned(), source })
        });
        let keys = section.npm_keys.as_deref().map(|path| {
            let bytes = read("npm_keys", path, TARGET_BYTES_MAX)?;
            RegistryKeys::from_json(&bytes)
                .map(Arc::new)
                .map_err(|source| TrustOptionsError::NpmKeys { path: path.to_owned(), source })
        });
        let mirror = section.tuf_url.as_ref().map(|url| Mirror::new(url, limits())).transpose();
        let required = section.npm_keys_target.is_some();
        let keys_target = section.keys_target(&config.upstream).map(|path| KeysTarget { path, required });
        Ok(Self {
            root: root.transpose()?,
            keys: keys.transpose()?,
            embedded_root: Arc::new(TrustRoot::embedded()),
            embedded_keys: Arc::new(RegistryKeys::embedded()),
            pin: Pin { root: tuf_root(section)?, keys: keys_target },
            own_pin: section.tuf_root.is_some(),
            mirror: mirror.map_err(TrustOptionsError::Mirror)?,
            mirror_url: section.tuf_url.as_ref().map(ToString::to_string),
            npm_registry: section.npm_registry.clone(),
            refresh: section.refresh,
            warn_before: section.warn_before,
            grace: section.grace,
        })
    }
}

impl TrustOptions {
    /// Where the pinned TUF root is from.
    pub(crate) fn pin_origin(&self) -> Origin {
        if self.own_pin { Origin::File } else { Origin::Embedded }
    }
}

/// The pinned TUF root: it must be one, and have signed itself.
fn tuf_root(section: &TrustSection) -> Result<Vec<u8>, TrustOptionsError> {
    let Some(path) = &section.tuf_root else { return Ok(EMBEDDED_TUF_ROOT.to_vec()) };
    let bytes = read("tuf_root", path, METADATA_BYTES_MAX as u64)?;
    inspect("the pinned root", &bytes)
        .and_then(|()| sigstore_tuf::TrustedMetadataSet::from_root(&bytes))
        .map_err(|source| TrustOptionsError::TufRoot { path: path.clone(), source: TufError::Pin(source) })?;
    Ok(bytes)
}

fn read(key: &'static str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, TrustOptionsError> {
    let failed = |source| TrustOptionsError::File { key, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(failed(io::Error::other(format!("it has more than {bytes_max} bytes"))));
    }
    Ok(bytes)
}

/// Bounds of one document.
fn limits() -> Limits {
    Limits {
        total_timeout: Duration::from_secs(30),
        metadata_bytes_max: METADATA_BYTES_MAX as u64,
        redirects_max: 3,
        documents_max: 4,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests;
