//! Why a configuration is refused, in words that name the key and its origin.

use std::{io, path::PathBuf};

use figment::{
    Figment,
    error::{Actual, Kind},
};

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, or its directory, cannot be read.
    #[error("cannot read the configuration at {path}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{origin} is not valid TOML: {problem}")]
    Syntax {
        /// The file.
        origin: String,
        /// What the parser says.
        problem: String,
    },
    /// No such key.
    #[error("unknown key `{key}` in {origin}; known here: {known}")]
    UnknownKey {
        /// The key with its sections.
        key: String,
        /// The file or variable.
        origin: String,
        /// The keys that may stand there.
        known: String,
    },
    /// A value that does not fit its key.
    #[error("`{key}` in {origin}: {problem}")]
    Unfit {
        /// The key with its sections.
        key: String,
        /// The file or variable.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// A value out of bounds, or one that contradicts another.
    #[error("`{key}` {problem}")]
    Value {
        /// The key with its sections.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// A token written into the file.
    #[error(
        "`{key}` is a secret: keep it in a file named by `{key}_file`, or in the environment, not in touchstone.toml"
    )]
    InlineSecret {
        /// The key with its sections.
        key: String,
    },
    /// A secret file that cannot be used.
    #[error("cannot read the secret `{key}` from {path}", path = path.display())]
    SecretFile {
        /// The key with its sections.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ConfigError {
    /// The first problem that figment found; the others follow once this one is mended.
    pub(super) fn from_figment(error: &figment::Error, figment: &Figment) -> Self {
        let mut path = error.path.clone();
        if let Kind::UnknownField(field, _) = &error.kind
            && path.last() != Some(field)
        {
            path.push(field.clone());
        }
        let key = path.join(".");
        let metadata = figment.find_metadata(&key).or(error.metadata.as_ref());
        let origin = metadata.map_or_else(|| "the configuration".to_owned(), |m| m.name.to_string());
        match &error.kind {
            Kind::UnknownField(_, known) => Self::UnknownKey { key, origin, known: known.join(", ") },
            Kind::Message(problem) if key.is_empty() => {
                Self::Syntax { origin, problem: without_excerpt(problem) }
            }
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                Self::Unfit { key, origin, problem: format!("found {}, expected {expected}", sort(found)) }
            }
            // An address that does not parse is quoted at the end of the message.
            Kind::Message(problem) => {
                let problem = problem.split(": \"").next().unwrap_or_default().to_owned();
                Self::Unfit { key, origin, problem }
            }
            kind => Self::Unfit { key, origin, problem: kind.to_string() },
        }
    }
}

/// What was found, without the value: it may be a password in the wrong place.
fn sort(found: &Actual) -> &'static str {
    match found {
        Actual::Str(_) | Actual::Char(_) | Actual::Bytes(_) => "a text",
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Seq => "a list",
        Actual::Map => "a section",
        _ => "something else",
    }
}

/// The parser's first and last lines: the place and the problem. What stands between is an excerpt of the file.
fn without_excerpt(problem: &str) -> String {
    let lines: Vec<&str> = problem.lines().collect();
    match lines.as_slice() {
        [first, .., last] => format!("{first}: {last}"),
        _ => problem.to_owned(),
    }
}
