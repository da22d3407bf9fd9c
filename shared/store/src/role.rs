//! The login of each service, and what it may do: migration V0005 makes them.

use std::{fmt, str::FromStr};

/// A service, as Postgres knows it: a role of its own, which may do what the service's statements do, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatabaseRole {
    /// Puts artifacts on record; reads what it serves by.
    Edge,
    /// Records verdicts of the hash check.
    Hash,
    /// Records verdicts of the attest check, identities and trust material.
    Attest,
    /// Records verdicts of the sumdb check, heads and tiles.
    Sumdb,
    /// Moves gates, and alone writes promotions and the log.
    Promote,
    /// What operators do: reads everything, recalls, rechecks, settles incidents.
    Console,
}

/// A word that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown database role {0:?}; known are edge, hash, attest, sumdb, promote and console")]
pub struct UnknownDatabaseRole(pub String);

impl DatabaseRole {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Edge, Self::Hash, Self::Attest, Self::Sumdb, Self::Promote, Self::Console];

    /// The service's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Hash => "hash",
            Self::Attest => "attest",
            Self::Sumdb => "sumdb",
            Self::Promote => "promote",
            Self::Console => "console",
        }
    }

    /// The user that it logs in as.
    pub const fn user(self) -> &'static str {
        match self {
            Self::Edge => "touchstone_edge",
            Self::Hash => "touchstone_hash",
            Self::Attest => "touchstone_attest",
            Self::Sumdb => "touchstone_sumdb",
            Self::Promote => "touchstone_promote",
            Self::Console => "touchstone_console",
        }
    }

    /// The same database as another user's address names, as this role. Without a password: for a server that trusts whoever
    /// reaches its socket.
    pub fn url(self, url: &str) -> String {
        let user = self.user();
        let Some((scheme, rest)) = url.split_once("://") else { return format!("{url} user={user}") };
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let host = rest[..authority_end].rfind('@').map_or(0, |at| at + 1);
        format!("{scheme}://{user}@{}", &rest[host..])
    }
}

impl fmt::Display for DatabaseRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DatabaseRole {
    type Err = UnknownDatabaseRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| UnknownDatabaseRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
