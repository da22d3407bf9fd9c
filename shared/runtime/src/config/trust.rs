//! `[trust]`: whose signatures count, and how that is kept up to date.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{ConfigError, Upstreams, sections::lasts};

/// `[trust]`. Of each document the configured file wins, then what the TUF repository says, then what is built in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustSection {
    /// A sigstore `trusted_root.json`; pins it.
    pub sigstore_root: Option<PathBuf>,
    /// A registry's keys, as the TUF target or as the registry's own document; pins them.
    pub npm_keys: Option<PathBuf>,
    /// A copy of the sigstore TUF repository; without it nothing is refreshed.
    pub tuf_url: Option<Url>,
    /// The TUF root that everything is verified from; that of the public-good instance if absent. With it, the built-in
    /// sigstore root and the built-in keys are never used.
    pub tuf_root: Option<PathBuf>,
    /// The TUF target that holds the registry's keys; the host name of `upstream.npm.url` and `/keys.json` if absent.
    pub npm_keys_target: Option<String>,
    /// The registry that publish attestations must name, as they write it.
    pub npm_registry: Option<String>,
    /// How often the TUF repository is asked.
    #[serde(with = "humantime_serde")]
    pub refresh: Duration,
    /// How long before TUF metadata expires there is a warning.
    #[serde(with = "humantime_serde")]
    pub warn_before: Duration,
    /// How long expired TUF metadata still counts.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for TrustSection {
    fn default() -> Self {
        Self {
            sigstore_root: None,
            npm_keys: None,
            tuf_url: None,
            tuf_root: None,
            npm_keys_target: None,
            npm_registry: None,
            refresh: Duration::from_hours(6),
            warn_before: Duration::from_hours(72),
            grace: Duration::from_hours(7 * 24),
        }
    }
}

impl TrustSection {
    /// The TUF target that holds the registry's keys, unless neither it nor a registry is configured.
    pub fn keys_target(&self, upstreams: &Upstreams) -> Option<String> {
        let of_host = || Some(format!("{}/keys.json", upstreams.npm.as_ref()?.url.host_str()?));
        self.npm_keys_target.clone().or_else(of_host)
    }

    /// Makes paths absolute.
    pub(super) fn resolve(&mut self, base: &Path) {
        for file in [&mut self.sigstore_root, &mut self.npm_keys, &mut self.tuf_root].into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let day = Duration::from_hours(24);
        lasts("trust.refresh", self.refresh, Duration::from_mins(1), 7 * day)?;
        lasts("trust.warn_before", self.warn_before, Duration::ZERO, 365 * day)?;
        lasts("trust.grace", self.grace, Duration::ZERO, 3650 * day)?;
        let Some(target) = &self.npm_keys_target else { return Ok(()) };
        let plain = |segment: &str| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if target.len() <= 200 && target.split('/').all(plain) {
            return Ok(());
        }
        Err(ConfigError::Value {
            key: "trust.npm_keys_target".to_owned(),
            problem: "must be a path of plain names, such as registry.example/keys.json".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(toml: &str) -> TrustSection {
        toml::from_str(toml).expect("a section")
    }

    #[test]
    fn the_target_of_the_keys_follows_the_registry() {
        let none = Upstreams::default();
        let npm: Upstreams = toml::from_str("[npm]\nurl = 'https://registry.example:8443/npm/'").unwrap();
        assert_eq!(TrustSection::default().keys_target(&none), None);
        assert_eq!(TrustSection::default().keys_target(&npm).as_deref(), Some("registry.example/keys.json"));
        let named = parsed("npm_keys_target = 'other.example/keys.json'");
        assert_eq!(named.keys_target(&npm).as_deref(), Some("other.example/keys.json"));
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        let refused = |toml: &str| parsed(toml).check().map_err(|e| e.to_string());
        assert_eq!(refused(""), Ok(()));

        assert_eq!(refused("refresh = '1m'\ngrace = '365d'\nwarn_before = '30d'"), Ok(()));
        let shortest = "`trust.refresh` is 59s; it must be from 60s to 604800s".to_owned();
        assert_eq!(refused("refresh = '59s'"), Err(shortest));
        for target in ["../keys.json", "/keys.json", "a//keys.json", "a/..%2fkeys.json", ".keys.json", ""] {
            let problem =
                "`trust.npm_keys_target` must be a path of plain names, such as registry.example/keys.json";
            assert_eq!(
                refused(&format!("npm_keys_target = '{target}'")),
                Err(problem.to_owned()),
                "{target}"
            );
        }
    }
}
