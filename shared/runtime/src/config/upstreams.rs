//! `[upstream.*]`: where everything comes from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use touchstone_domain::Ecosystem;
use url::Url;

use super::{ConfigError, Secret};

/// Bytes of a verifier key, which is a name and 44 characters.
const KEY_BYTES_MAX: usize = 512;

/// The upstream of each ecosystem; one without an upstream is not served.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstreams {
    /// `[upstream.cargo]`: a sparse index.
    pub cargo: Option<UpstreamSection>,
    /// `[upstream.go]`: a module proxy.
    pub go: Option<UpstreamSection>,
    /// `[upstream.npm]`: a registry.
    pub npm: Option<UpstreamSection>,
    /// `[upstream.pypi]`: a simple index.
    pub pypi: Option<UpstreamSection>,
}

impl Upstreams {
    /// The upstream of an ecosystem, if it has one.
    pub fn get(&self, ecosystem: Ecosystem) -> Option<&UpstreamSection> {
        match ecosystem {
            Ecosystem::Cargo => self.cargo.as_ref(),
            Ecosystem::Go => self.go.as_ref(),
            Ecosystem::Npm => self.npm.as_ref(),
            Ecosystem::Pypi => self.pypi.as_ref(),
        }
    }

    /// Every configured upstream.
    pub fn iter(&self) -> impl Iterator<Item = (Ecosystem, &UpstreamSection)> {
        Ecosystem::ALL.into_iter().filter_map(|ecosystem| Some((ecosystem, self.get(ecosystem)?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Ecosystem, &mut UpstreamSection)> {
        let Self { cargo, go, npm, pypi } = self;
        let sections =
            [(Ecosystem::Cargo, cargo), (Ecosystem::Go, go), (Ecosystem::Npm, npm), (Ecosystem::Pypi, pypi)];
        sections.into_iter().filter_map(|(ecosystem, section)| Some((ecosystem, section.as_mut()?)))
    }

    /// Whether the checksum database is configured where it belongs, and only there.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.iter().try_for_each(|(ecosystem, section)| match ecosystem {
            Ecosystem::Go => section.check_go(),
            Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => {
                let given =
                    [("sumdb_key", section.sumdb_key.is_some()), ("sumdb_url", section.sumdb_url.is_some())];
                match given.into_iter().find(|(_, is_given)| *is_given) {
                    Some((key, _)) => Err(refused(ecosystem, key, "is for [upstream.go] only")),
                    None => Ok(()),
                }
            }
        })
    }
}

/// One upstream.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSection {
    /// Where indexes are.
    pub url: Url,
    /// Where attestations are, if not there; PyPI calls them provenance.
    #[serde(default, alias = "provenance_url")]
    pub attestations_url: Option<Url>,
    /// Go: the verifier key of the checksum database, `name+hash+key`; required, and refused elsewhere.
    #[serde(default)]
    pub sumdb_key: Option<String>,
    /// Go: where the checksum database is; `https://` and the name in its key if absent.
    #[serde(default)]
    pub sumdb_url: Option<Url>,
    /// Further origins (scheme, host, port) that links to artifacts may point to.
    #[serde(default)]
    pub file_hosts: Vec<Url>,
    /// The bearer token for it; by environment only.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file that holds the token instead.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

impl UpstreamSection {
    /// Where the checksum database is: as configured, or `https://` and the name in its key. `None` without a key, or with one
    /// that makes no address.
    pub fn sumdb_url(&self) -> Option<Url> {
        let name = self.sumdb_key.as_ref()?.split('+').next()?;
        let mut url = self.sumdb_url.clone().or_else(|| Url::parse(&format!("https://{name}/")).ok())?;
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Some(url)
    }

    /// The shape of what Go needs; whether the key is one is for whoever verifies with it to say.
    fn check_go(&self) -> Result<(), ConfigError> {
        let go = |key, problem| Err(refused(Ecosystem::Go, key, problem));
        let Some(key) = &self.sumdb_key else {
            return go(
                "sumdb_key",
                "is missing; nothing of Go is served that the checksum database does not vouch for",
            );
        };
        if self.attestations_url.is_some() {
            return go("attestations_url", "is not for Go; where the checksum database is, `sumdb_url` says");
        }
        let parts: Vec<&str> = key.splitn(3, '+').collect();
        let is_key = |[name, hash, key]: &[&str; 3]| {
            !name.is_empty()
                && !name.chars().any(char::is_whitespace)
                && hash.len() == 8
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !key.is_empty()
                && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
        };
        if key.len() > KEY_BYTES_MAX || !<&[&str; 3]>::try_from(parts.as_slice()).is_ok_and(is_key) {
            return go("sumdb_key", "must be name+hash+key, as in GOSUMDB");
        }
        let is_address = |url: &Url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
        };
        let Some(url) = self.sumdb_url().filter(is_address) else {
            return go("sumdb_url", "must be http:// or https://, without query or fragment");
        };
        // The check that asks it has no credentials.
        if url.origin() == self.url.origin() && (self.token.is_some() || self.token_file.is_some()) {
            return go(
                "sumdb_url",
                "is where a token is needed, and the checksum database is asked without one; give the database's own address, or \
                 that of a proxy which needs no token for it",
            );
        }
        Ok(())
    }
}

fn refused(ecosystem: Ecosystem, key: &str, problem: &str) -> ConfigError {
    ConfigError::Value { key: format!("upstream.{ecosystem}.{key}"), problem: problem.to_owned() }
}
