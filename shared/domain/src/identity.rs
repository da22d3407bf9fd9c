//! Who signed: the part of a signing certificate that a release keeps from one version to the next.
//!
//! *Invariant:* an identity is read from a verified certificate, never from metadata.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a git ref names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefClass {
    /// `refs/tags/…`.
    Tag,
    /// `refs/heads/…`.
    Branch,
    /// `refs/pull/…`, or a merge request's.
    Pull,
    /// Anything else, a bare commit for instance.
    Other,
}

impl RefClass {
    /// The class of a ref as certificates spell it.
    pub fn of(git_ref: &str) -> Self {
        if git_ref.starts_with("refs/tags/") {
            Self::Tag
        } else if git_ref.starts_with("refs/heads/") {
            Self::Branch
        } else if git_ref.starts_with("refs/pull/") || git_ref.starts_with("refs/merge-requests/") {
            Self::Pull
        } else {
            Self::Other
        }
    }

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Branch => "branch",
            Self::Pull => "pull",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for RefClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much stands behind a release, in the order of `no-downgrade` policies (ecosystems.md 4.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustRank {
    /// Signed provenance.
    Provenance,
    /// Provenance, and the registry names a trusted publisher.
    TrustedPublisher,
    /// The same, and a person approved the staged release.
    StagedPublish,
}

impl TrustRank {
    /// Every rank, lowest first.
    pub const ALL: [Self; 3] = [Self::Provenance, Self::TrustedPublisher, Self::StagedPublish];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provenance => "provenance",
            Self::TrustedPublisher => "trusted_publisher",
            Self::StagedPublish => "staged_publish",
        }
    }
}

impl fmt::Display for TrustRank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TrustRank {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|r| r.as_str() == text)
            .ok_or_else(|| format!("unknown trust rank {text:?}"))
    }
}

/// Who signed an attestation. For a workflow, the repository and what ran in it; for a person or a service account, the
/// e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The OIDC issuer (certificate extension .8).
    pub issuer: String,
    /// Who the certificate names, without a trailing `@ref`: the signing workflow's address, or an e-mail address. With a
    /// reusable workflow this is another repository than `repository`.
    pub signer: String,
    /// The source repository's address (.12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The forge's number for the repository (.15); it survives a rename, and not a re-registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<String>,
    /// The forge's number for the owner (.17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// The path of the top-level workflow in the repository (.18 without repository and ref).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The ref that was built (.14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// What started the build (.20).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// Where it ran (.11): `github-hosted`, for instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
}

/// Triggers that are a publisher's own doing, as GitHub (the first two lines) and GitLab name them (ecosystems.md 2.4). All
/// others may run with what a stranger wrote: a pull request, a comment, or what no one has thought of yet.
#[rustfmt::skip]
const OWN_TRIGGERS: [&str; 14] = [
    "push", "release", "workflow_dispatch", "schedule",
    "create", "repository_dispatch", "deployment", "merge_group",
    "web", "api", "trigger", "pipeline", "parent_pipeline", "webide",
];

impl Identity {
    /// The class of the ref that was built; `None` when the certificate names none.
    pub fn ref_class(&self) -> Option<RefClass> {
        self.git_ref.as_deref().map(RefClass::of)
    }

    /// Why nobody releases like this, unless a pin says that they do: the build was not started by what is known to be the
    /// publisher's own doing, or ran on a stranger's code. A certificate that names no trigger, a person's, is no build's.
    pub fn foreign(&self) -> Option<(IdentityField, &str)> {
        self.foreign_trigger()
            .map(|trigger| (IdentityField::Trigger, trigger))
            .or_else(|| self.foreign_ref().map(|git_ref| (IdentityField::GitRef, git_ref)))
    }

    /// The trigger, when it may be a stranger's doing.
    pub(crate) fn foreign_trigger(&self) -> Option<&str> {
        self.trigger.as_deref().filter(|trigger| !OWN_TRIGGERS.contains(trigger))
    }

    /// The ref, when it is a stranger's code.
    pub(crate) fn foreign_ref(&self) -> Option<&str> {
        self.git_ref.as_deref().filter(|git_ref| RefClass::of(git_ref) == RefClass::Pull)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.repository, &self.workflow) {
            (Some(repository), Some(workflow)) => write!(f, "{repository} ({workflow})")?,
            (Some(repository), None) => f.write_str(repository)?,
            (None, _) => write!(f, "{} ({})", self.signer, self.issuer)?,
        }
        match &self.git_ref {
            Some(git_ref) => write!(f, " at {git_ref}"),
            None => Ok(()),
        }
    }
}

/// The part of an identity that a comparison was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityField {
    /// The OIDC issuer.
    Issuer,
    /// The certificate's subject.
    Signer,
    /// The repository's address.
    Repository,
    /// The repository's number.
    RepositoryId,
    /// The owner's number.
    OwnerId,
    /// The workflow file.
    Workflow,
    /// The ref.
    GitRef,
    /// The kind of ref.
    RefClass,
    /// What started the build.
    Trigger,
    /// Where it ran.
    Runner,
    /// The trust rank.
    Rank,
}

impl IdentityField {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Signer => "signer",
            Self::Repository => "repository",
            Self::RepositoryId => "repository id",
            Self::OwnerId => "owner id",
            Self::Workflow => "workflow",
            Self::GitRef => "ref",
            Self::RefClass => "kind of ref",
            Self::Trigger => "trigger",
            Self::Runner => "runner",
            Self::Rank => "trust rank",
        }
    }
}

impl fmt::Display for IdentityField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One difference between two identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the {field} is {found:?}, and was {expected:?}")]
pub struct Difference {
    /// Where they differ.
    pub field: IdentityField,
    /// What was there before, or what the pin asks for; `none` when nothing was.
    pub expected: String,
    /// What is there now; `none` when nothing is.
    pub found: String,
}
