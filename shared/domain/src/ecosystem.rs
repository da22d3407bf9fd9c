//! The closed set of ecosystems. The names are the purl types of the package-url specification, but for Go: its purl type is
//! `golang`, and everything that people and scripts write says `go`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A package ecosystem; the closed set that every `match` covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecosystem {
    /// crates, from a sparse index.
    Cargo,
    /// Go modules.
    Go,
    /// npm packages.
    Npm,
    /// Python distributions.
    Pypi,
}

impl Ecosystem {
    /// Every ecosystem.
    pub const ALL: [Self; 4] = [Self::Cargo, Self::Go, Self::Npm, Self::Pypi];

    /// The word in columns, subjects, paths, configuration and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Go => "go",
            Self::Npm => "npm",
            Self::Pypi => "pypi",
        }
    }

    /// The type in package URLs.
    pub const fn purl_type(self) -> &'static str {
        match self {
            Self::Go => "golang",
            Self::Cargo | Self::Npm | Self::Pypi => self.as_str(),
        }
    }

    /// The ecosystem of a purl type.
    pub fn of_purl_type(text: &str) -> Result<Self, UnknownEcosystem> {
        Self::ALL.into_iter().find(|e| e.purl_type() == text).ok_or_else(|| UnknownEcosystem(text.to_owned()))
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no ecosystem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown ecosystem {0:?}; known are cargo, go (golang in package URLs), npm and pypi")]
pub struct UnknownEcosystem(pub String);

impl FromStr for Ecosystem {
    type Err = UnknownEcosystem;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|e| e.as_str() == text).ok_or_else(|| UnknownEcosystem(text.to_owned()))
    }
}
