//! The roles that a process can play.

/// A role; each can be its own process, and some as many as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Edge,
    Hash,
    Attest,
    Sumdb,
    Promote,
    Console,
}

impl Role {
    /// Every role, in the order in which standalone starts them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Promote, Self::Hash, Self::Attest, Self::Sumdb, Self::Console, Self::Edge];

    /// The word in the command line, in logs and in Postgres.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Hash => "hash",
            Self::Attest => "attest",
            Self::Sumdb => "sumdb",
            Self::Promote => "promote",
            Self::Console => "console",
        }
    }
}
