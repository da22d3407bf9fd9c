//! The publisher that the index names beside an attestation. It is the index's unsigned claim: consistency evidence, not trust.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    document::{self, DocumentError},
    json::Object,
};

const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
const GITLAB_ISSUER: &str = "https://gitlab.com";
const GOOGLE_ISSUER: &str = "https://accounts.google.com";
const CIRCLECI_ISSUER: &str = "https://oidc.circleci.com";
/// The longest publisher object, in bytes.
const PUBLISHER_BYTES_MAX: usize = 16 * 1024;

/// A trusted publisher, as the index describes it (ecosystems.md 5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// GitHub Actions.
    GitHub {
        /// `owner/repository`.
        repository: String,
        /// The workflow's file name.
        workflow: String,
        /// The deployment environment, if one is named.
        environment: Option<String>,
    },
    /// GitLab CI/CD.
    GitLab {
        /// `group/project`.
        repository: String,
        /// The path of the workflow file in it.
        workflow_filepath: String,
        /// The deployment environment, if one is named.
        environment: Option<String>,
    },
    /// A Google account.
    Google {
        /// Its address.
        email: String,
    },
    /// CircleCI.
    CircleCi {
        /// The project's id.
        project_id: String,
        /// The id of the pipeline's definition.
        pipeline_definition_id: String,
        /// The repository without scheme, if one is named.
        vcs_origin: Option<String>,
        /// The ref, if one is named.
        vcs_ref: Option<String>,
    },
    /// A kind that is not known here: nothing of it can be compared.
    Other {
        /// Its name.
        kind: String,
    },
}

impl Publisher {
    /// Reads a publisher object. One of a known kind must have that kind's fields.
    pub(super) fn parse(raw: &RawValue) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Named {
            kind: String,
        }
        let text = raw.get();
        document::check_count("bytes in a publisher", text.len(), PUBLISHER_BYTES_MAX)?;
        let Named { kind } = fields(text)?;
        Ok(match kind.as_str() {
            "GitHub" => {
                let GitHub { repository, workflow, environment } = fields(text)?;
                Self::GitHub { repository, workflow, environment: named(environment) }
            }
            "GitLab" => {
                let GitLab { repository, workflow_filepath, environment } = fields(text)?;
                Self::GitLab { repository, workflow_filepath, environment: named(environment) }
            }
            "Google" => {
                let Google { email } = fields(text)?;
                Self::Google { email }
            }
            "CircleCI" => {
                let CircleCi { project_id, pipeline_definition_id, vcs_origin, vcs_ref } = fields(text)?;
                let (vcs_origin, vcs_ref) = (named(vcs_origin), named(vcs_ref));
                Self::CircleCi { project_id, pipeline_definition_id, vcs_origin, vcs_ref }
            }
            _ => Self::Other { kind },
        })
    }
}

#[derive(Deserialize)]
struct GitHub {
    repository: String,
    workflow: String,
    environment: Option<String>,
}

#[derive(Deserialize)]
struct GitLab {
    repository: String,
    workflow_filepath: String,
    environment: Option<String>,
}

#[derive(Deserialize)]
struct Google {
    email: String,
}

#[derive(Deserialize)]
struct CircleCi {
    project_id: String,
    pipeline_definition_id: String,
    vcs_origin: Option<String>,
    vcs_ref: Option<String>,
}

fn fields<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    let read = serde_json::from_str::<Object<T>>(text);
    read.map(|object| object.0).map_err(|e| DocumentError::malformed(format!("publisher: {e}")))
}

/// The index writes an empty text for what is not set.
fn named(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// What a verified certificate says, as far as publishers are compared with it. The numbers are those of the extensions
/// below 1.3.6.1.4.1.57264.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateFields<'a> {
    /// The subject alternative name.
    pub san: &'a str,
    /// The OIDC issuer (.8).
    pub issuer: Option<&'a str>,
    /// The build signer's address (.9).
    pub build_signer: Option<&'a str>,
    /// The source repository's address (.12).
    pub source_repository: Option<&'a str>,
    /// The commit (.13).
    pub source_digest: Option<&'a str>,
    /// The ref (.14).
    pub source_ref: Option<&'a str>,
    /// The top-level workflow's address (.18).
    pub build_config: Option<&'a str>,
    /// The deployment environment (.23).
    pub environment: Option<&'a str>,
}

/// How a publisher and a certificate contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublisherProblem {
    /// Nothing can be compared.
    #[error("the index names a publisher of the unknown kind {kind:?}")]
    UnknownKind {
        /// The kind, shortened.
        kind: String,
    },
    /// The certificate says something else.
    #[error(
        "by the publisher that the index names, the certificate's {field} is {expected:?}; it is {found:?}"
    )]
    Differs {
        /// The certificate's field.
        field: &'static str,
        /// What follows from the publisher.
        expected: String,
        /// What the certificate has, shortened; `none` if it has nothing.
        found: String,
    },
}

/// The first contradiction between the publisher that the index names and a verified certificate; `None` if they agree.
pub fn publisher_problem(
    publisher: &Publisher,
    certificate: &CertificateFields<'_>,
) -> Option<PublisherProblem> {
    check(publisher, certificate).err()
}

fn check(publisher: &Publisher, certificate: &CertificateFields<'_>) -> Result<(), PublisherProblem> {
    let issuer = |expected: &str| same("issuer", expected, certificate.issuer);
    let repository = |expected: &str| same("source repository", expected, certificate.source_repository);
    match publisher {
        Publisher::GitHub { repository: slug, workflow, environment } => {
            let address = format!("https://github.com/{slug}");
            issuer(GITHUB_ISSUER)?;
            repository(&address)?;
            check_config(&format!("{address}/.github/workflows/{workflow}"), certificate)?;
            check_environment(environment.as_deref(), certificate)
        }
        Publisher::GitLab { repository: slug, workflow_filepath, environment } => {
            let address = format!("https://gitlab.com/{slug}");
            issuer(GITLAB_ISSUER)?;
            repository(&address)?;
            check_config(&format!("{address}//{workflow_filepath}"), certificate)?;
            check_environment(environment.as_deref(), certificate)
        }
        Publisher::Google { email } => {
            issuer(GOOGLE_ISSUER)?;
            same("subject", email, Some(certificate.san))
        }
        Publisher::CircleCi { project_id, pipeline_definition_id, vcs_origin, vcs_ref } => {
            issuer(CIRCLECI_ISSUER)?;
            let signer = format!(
                "https://circleci.com/api/v2/projects/{project_id}/pipeline-definitions/{pipeline_definition_id}"
            );
            same("build signer", &signer, certificate.build_signer)?;
            vcs_origin.as_deref().map_or(Ok(()), repository)?;
            vcs_ref.as_deref().map_or(Ok(()), |expected| same("ref", expected, certificate.source_ref))
        }
        Publisher::Other { kind } => {
            Err(PublisherProblem::UnknownKind { kind: crate::index::shortened(kind) })
        }
    }
}

/// The workflow's address is followed by the ref, or by the commit.
fn check_config(workflow: &str, certificate: &CertificateFields<'_>) -> Result<(), PublisherProblem> {
    let at = |end: Option<&str>| Some(format!("{workflow}@{}", end?));
    let by_digest = at(certificate.source_digest);
    if by_digest.is_some() && by_digest.as_deref() == certificate.build_config {
        return Ok(());
    }
    let expected = at(certificate.source_ref).or(by_digest).unwrap_or_else(|| format!("{workflow}@"));
    same("workflow", &expected, certificate.build_config)
}

/// Compared when both name one; certificates did not always, and an index need not.
fn check_environment(
    environment: Option<&str>,
    certificate: &CertificateFields<'_>,
) -> Result<(), PublisherProblem> {
    match (environment, certificate.environment) {
        (Some(expected), Some(found)) => same("environment", expected, Some(found)),
        (Some(_), None) | (None, _) => Ok(()),
    }
}

fn same(field: &'static str, expected: &str, found: Option<&str>) -> Result<(), PublisherProblem> {
    if found == Some(expected) {
        return Ok(());
    }
    let found = crate::index::shortened(found.unwrap_or("none"));
    Err(PublisherProblem::Differs { field, expected: expected.to_owned(), found })
}
