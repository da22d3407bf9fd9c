//! `[custody]` and `[log]`: the keys that decisions are signed with, the keys that count, and the transparency log.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Config, ConfigError, Secret, sections::lasts};

/// The longest name of an installation, in bytes.
const ENVIRONMENT_BYTES_MAX: usize = 64;
/// The most witnesses of each kind.
const WITNESSES_MAX: usize = 16;
/// The longest time between two seals: what is not sealed for a minute stops promotion.
const PERIOD_MAX: Duration = Duration::from_secs(20);

/// `[custody]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustodySection {
    /// The installation's name, which every record carries: records of another one do not count.
    pub environment: String,
    /// The key ring: the public keys that count; `keyring.json` in `keys_dir` if absent.
    pub keyring: Option<PathBuf>,
    /// The directory of private keys, each named by what it signs: `hash.pem`; `keys` in the data directory if absent.
    pub keys_dir: Option<PathBuf>,
    /// The private key of this role as PEM, instead of its file; by environment only.
    pub key: Option<Secret>,
    /// The private key of the log as PEM, for promote, instead of its file; by environment only.
    pub log_key: Option<Secret>,
    /// The password of the private keys; by environment only.
    pub password: Option<Secret>,
    /// A file that holds the password instead.
    pub password_file: Option<PathBuf>,
}

impl Default for CustodySection {
    fn default() -> Self {
        Self {
            environment: "default".to_owned(),
            keyring: None,
            keys_dir: None,
            key: None,
            log_key: None,
            password: None,
            password_file: None,
        }
    }
}

impl CustodySection {
    pub(super) fn resolve(&mut self, base: &Path) {
        for path in [&mut self.keyring, &mut self.keys_dir].into_iter().flatten() {
            *path = base.join(&*path);
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let name = &self.environment;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if (1..=ENVIRONMENT_BYTES_MAX).contains(&name.len()) && plain {
            return Ok(());
        }
        let problem = "must be 1 to 64 letters, digits, dots, dashes and underscores".to_owned();
        Err(ConfigError::Value { key: "custody.environment".to_owned(), problem })
    }
}

/// `[log]`: where the transparency log is published.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// The directory that promote publishes it in, and that edges follow; `log` in the data directory if absent.
    pub dir: Option<PathBuf>,
    /// Further directories that get the same files, beyond the reach of whoever administers the first one and the database.
    pub witness_dirs: Vec<PathBuf>,
    /// Witnesses that speak C2SP tlog-witness: each checkpoint is sent to `add-checkpoint` below these addresses.
    pub witness_urls: Vec<Url>,
    /// How often what happened is sealed.
    #[serde(with = "humantime_serde")]
    pub period: Duration,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { dir: None, witness_dirs: vec![], witness_urls: vec![], period: Duration::from_secs(1) }
    }
}

impl LogSection {
    pub(super) fn resolve(&mut self, base: &Path) {
        for path in self.dir.iter_mut().chain(&mut self.witness_dirs) {
            *path = base.join(&*path);
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        lasts("log.period", self.period, Duration::from_millis(50), PERIOD_MAX)?;
        super::sections::within("log.witness_dirs", self.witness_dirs.len(), 0, WITNESSES_MAX)?;
        super::sections::within("log.witness_urls", self.witness_urls.len(), 0, WITNESSES_MAX)
    }
}

impl Config {
    /// The file of the key ring.
    pub fn keyring(&self) -> PathBuf {
        self.custody.keyring.clone().unwrap_or_else(|| self.keys_dir().join("keyring.json"))
    }

    /// The directory of private keys.
    pub fn keys_dir(&self) -> PathBuf {
        self.custody.keys_dir.clone().unwrap_or_else(|| self.data_dir.join("keys"))
    }

    /// The directory of the transparency log.
    pub fn log_dir(&self) -> PathBuf {
        self.log.dir.clone().unwrap_or_else(|| self.data_dir.join("log"))
    }

    /// Where an edge remembers the tree head that it has seen.
    pub fn edge_state_dir(&self) -> PathBuf {
        self.data_dir.join("edge")
    }
}
