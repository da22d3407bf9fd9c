//! The kinds of checks, and sets of them as the bit masks that the gate stores.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Ecosystem;

/// One kind of check; each has its own workers, its own durable consumer and its own bit in the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// Digests, coordinates and archive hygiene.
    Hash,
    /// Sigstore attestations and registry signatures.
    Attest,
    /// The Go checksum database.
    Sumdb,
    /// What independent mirrors saw.
    Peer,
}

impl CheckKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Hash, Self::Attest, Self::Sumdb, Self::Peer];

    /// The word in columns, subjects, metrics and policy files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Attest => "attest",
            Self::Sumdb => "sumdb",
            Self::Peer => "peer",
        }
    }

    /// The position of its bit in the gate's masks; fixed for ever, since rows store it.
    pub const fn bit(self) -> u8 {
        match self {
            Self::Hash => 0,
            Self::Attest => 1,
            Self::Sumdb => 2,
            Self::Peer => 3,
        }
    }

    /// Whether this version has workers for it. A policy that requires another kind is refused, since nothing could
    /// ever pass it.
    pub const fn is_available(self) -> bool {
        match self {
            Self::Hash | Self::Attest | Self::Sumdb => true,
            Self::Peer => false,
        }
    }

    /// Whether it has anything to say about an ecosystem's artifacts; only those are given to its workers.
    pub const fn applies_to(self, ecosystem: Ecosystem) -> bool {
        match (self, ecosystem) {
            (
                Self::Hash | Self::Peer,
                Ecosystem::Cargo | Ecosystem::Go | Ecosystem::Npm | Ecosystem::Pypi,
            )
            | (Self::Attest, Ecosystem::Npm | Ecosystem::Pypi)
            | (Self::Sumdb, Ecosystem::Go) => true,
            (Self::Attest, Ecosystem::Cargo | Ecosystem::Go)
            | (Self::Sumdb, Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi) => false,
        }
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown check {0:?}; known are hash, attest, sumdb and peer")]
pub struct UnknownCheck(pub String);

impl FromStr for CheckKind {
    type Err = UnknownCheck;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|c| c.as_str() == text).ok_or_else(|| UnknownCheck(text.to_owned()))
    }
}

/// A set of checks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CheckSet(i64);

impl CheckSet {
    /// No checks.
    pub const EMPTY: Self = Self(0);

    /// The set with one member.
    pub const fn of(check: CheckKind) -> Self {
        Self(1 << check.bit())
    }

    /// The mask as the gate stores it.
    pub const fn mask(self) -> i64 {
        self.0
    }

    /// Reads a stored mask; bits that this version does not know stay set, so that they stay required.
    pub const fn from_mask(mask: i64) -> Self {
        Self(mask)
    }

    /// Whether no check is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the check is in it.
    pub const fn contains(self, check: CheckKind) -> bool {
        self.0 & (1 << check.bit()) != 0
    }

    /// Whether every member of `other` is in it.
    pub const fn contains_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The members of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members of both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The members that `other` lacks.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The known members, in order.
    pub fn iter(self) -> impl Iterator<Item = CheckKind> {
        CheckKind::ALL.into_iter().filter(move |c| self.contains(*c))
    }
}

impl FromIterator<CheckKind> for CheckSet {
    fn from_iter<I: IntoIterator<Item = CheckKind>>(checks: I) -> Self {
        checks.into_iter().fold(Self::EMPTY, |set, check| set.union(Self::of(check)))
    }
}

impl fmt::Display for CheckSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(CheckKind::as_str).collect();
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for CheckSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}
