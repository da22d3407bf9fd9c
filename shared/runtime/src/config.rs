//! The configuration: `touchstone.toml`, and over it `TOUCHSTONE__SECTION__KEY` from the environment.
//!
//! *Invariant:* an unknown key, a value of the wrong kind or a missing secret is an error that names the key and where it
//! came from; nothing falls back to a default in silence.
//!
//! *Invariant:* tokens come from files or the environment, never from `touchstone.toml`.
//!
//! Relative paths, from the environment too, are relative to the directory of the configuration file.

mod addresses;
mod custody;
mod error;
mod secret;
mod sections;
mod sumdb;
mod trust;
mod upstreams;

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format as _, Toml},
    value::{Dict, Map, Value},
};

use touchstone_domain::Ecosystem;

use crate::Environment;
pub use custody::{CustodySection, LogSection};
pub use error::ConfigError;
pub use secret::Secret;
pub use sections::{
    Attest, Blobs, Config, Console, Database, Edge, Hash, NatsSection, PolicySection, Promote,
};
pub use sumdb::SumdbSection;
pub use trust::TrustSection;
pub use upstreams::{UpstreamSection, Upstreams};

/// What the names of configuring variables start with; sections and keys follow, separated by two underscores.
const PREFIX: &str = "TOUCHSTONE__";
/// Secret files beyond this size are refused.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

impl Config {
    /// Reads the file, if one is given, and the environment over it; resolves paths, reads secret files, checks bounds.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
            figment = figment.merge(File { path, toml: Toml::string(&text) });
        }
        for (name, value) in environment.with_prefix(PREFIX) {
            figment = figment.merge(Variable { name, value });
        }
        refuse_inline_secrets(&figment)?;
        let mut config: Self =
            figment.extract_lossy().map_err(|error| ConfigError::from_figment(&error, &figment))?;
        let base = base_dir(file)?;
        config.file = file.and_then(Path::file_name).map(|name| base.join(name));
        config.resolve(&base)?;
        config.check()?;
        Ok(config)
    }

    /// The effective configuration as TOML, secrets blotted out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }

    /// Makes paths absolute and reads the secrets that are kept in files.
    fn resolve(&mut self, base: &Path) -> Result<(), ConfigError> {
        self.data_dir = base.join(&self.data_dir).components().collect();
        if let Some(file) = &mut self.policy.file {
            *file = base.join(&*file);
        }
        self.trust.resolve(base);
        self.custody.resolve(base);
        self.log.resolve(base);
        let custody = &mut self.custody;
        read_secret(base, "custody.password", &mut custody.password, custody.password_file.as_mut())?;
        read_secret(base, "database.url", &mut self.database.url, self.database.url_file.as_mut())?;
        read_secret(base, "nats.url", &mut self.nats.url, self.nats.url_file.as_mut())?;
        read_secret(base, "console.token", &mut self.console.token, self.console.token_file.as_mut())?;
        for (ecosystem, section) in self.upstream.iter_mut() {
            let key = format!("upstream.{ecosystem}.token");
            read_secret(base, &key, &mut section.token, section.token_file.as_mut())?;
        }
        Ok(())
    }
}

/// The file as a source that names itself by its path.
struct File<'a> {
    path: &'a Path,
    toml: figment::providers::Data<Toml>,
}

impl Provider for File<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from(self.path.display().to_string(), self.path)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.toml.data()
    }
}

/// One variable as a source of its own, so that an error can name it.
struct Variable<'a> {
    name: &'a str,
    value: &'a str,
}

impl Provider for Variable<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("the environment variable {}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let key = self.name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        // Only lists are parsed; everything else stays the text that was given, so that "0012" is not a number.
        let value: Value = if self.value.starts_with('[') {
            self.value.parse().unwrap_or_else(|never: std::convert::Infallible| match never {})
        } else {
            Value::from(self.value)
        };
        let nested = figment::util::nest(&key, value);
        Ok(Profile::Default.collect(nested.into_dict().unwrap_or_default()))
    }
}

fn base_dir(file: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let directory =
        file.and_then(Path::parent).filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    directory.canonicalize().map_err(|source| ConfigError::File { path: directory.to_owned(), source })
}

/// A token in a file that is passed around, shown and committed is a token lost.
fn refuse_inline_secrets(figment: &Figment) -> Result<(), ConfigError> {
    let tokens = Ecosystem::ALL.map(|ecosystem| format!("upstream.{ecosystem}.token"));
    let mut keys = tokens
        .into_iter()
        .chain(["console.token", "custody.key", "custody.log_key", "custody.password"].map(str::to_owned));
    let inline = keys.find(|key| {
        figment.find_value(key).is_ok()
            && figment.find_metadata(key).is_some_and(|m| matches!(m.source, Some(figment::Source::File(_))))
    });
    inline.map_or(Ok(()), |key| Err(ConfigError::InlineSecret { key }))
}

fn read_secret(
    base: &Path,
    key: &str,
    secret: &mut Option<Secret>,
    file: Option<&mut PathBuf>,
) -> Result<(), ConfigError> {
    let Some(file) = file else { return Ok(()) };
    *file = base.join(&*file);
    if secret.is_some() {
        return Err(ConfigError::Value {
            key: key.to_owned(),
            problem: "is given twice, here and by file".to_owned(),
        });
    }
    let failed = |source| ConfigError::SecretFile { key: key.to_owned(), path: file.clone(), source };
    let mut text = String::new();
    std::fs::File::open(&*file)
        .map_err(failed)?
        .take(SECRET_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(failed(std::io::Error::other("the file is empty")));
    }
    *secret = Some(Secret::new(text));
    Ok(())
}

#[cfg(test)]
mod tests;
