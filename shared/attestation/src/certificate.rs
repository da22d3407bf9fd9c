//! The signing certificate: what Fulcio says about the signer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The kind of name that the certificate gives its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SanKind {
    /// A URI: a workload, on GitHub the workflow file with its ref.
    Uri,
    /// An e-mail address: a person.
    Email,
    /// Fulcio's `otherName`: a user name of the issuer.
    OtherName,
}

/// The identity in a verified certificate. Fields are the Fulcio extensions 1.3.6.1.4.1.57264.1.x, whose number is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Certificate {
    /// The one subject alternative name.
    pub san: String,
    /// Its kind.
    pub san_kind: SanKind,
    /// .8: the OIDC issuer. Absent for certificates from before it existed; the deprecated .1 is not read.
    pub issuer: Option<String>,
    /// .9: the build instructions that the signer ran.
    pub build_signer_uri: Option<String>,
    /// .10: their commit.
    pub build_signer_digest: Option<String>,
    /// .11: `github-hosted`, `self-hosted`.
    pub runner_environment: Option<String>,
    /// .12: the source repository.
    pub source_repository_uri: Option<String>,
    /// .13: its commit.
    pub source_repository_digest: Option<String>,
    /// .14: its ref.
    pub source_repository_ref: Option<String>,
    /// .15: the forge's immutable id of it.
    pub repository_id: Option<String>,
    /// .16: its owner.
    pub owner_uri: Option<String>,
    /// .17: the forge's immutable id of the owner.
    pub owner_id: Option<String>,
    /// .18: the top-level build instructions.
    pub build_config_uri: Option<String>,
    /// .19: their commit.
    pub build_config_digest: Option<String>,
    /// .20: the event that began the build.
    pub trigger: Option<String>,
    /// .21: the run.
    pub run_invocation_uri: Option<String>,
    /// .22: the repository's visibility when it was signed.
    pub visibility: Option<String>,
    /// .23: the deployment environment.
    pub environment: Option<String>,
    /// .24: the token's subject.
    pub token_subject: Option<String>,
    /// When it began to be valid, inclusive.
    pub not_before: Timestamp,
    /// When it ceased to be valid, inclusive.
    pub not_after: Timestamp,
}
