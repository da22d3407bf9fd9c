//! The equalities between provenance, certificate, package and publish attestation (ecosystems.md 4.1.4), one function each.
//! The first (predicate types) and the second (subject) are where the statement is read; the seventh is continuity.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use touchstone_attestation::{Certificate, SanKind};
use touchstone_domain::{PackageName, Version};
use touchstone_ecosystems::npm::attestation::repository_url;

use super::build::{Build, Forge};

/// How long after provenance was signed the registry may publish.
const PUBLISH_GAP_MAX: Duration = Duration::from_hours(1);
/// The same for a release that waited for a person's approval.
const STAGED_GAP_MAX: Duration = Duration::from_hours(30 * 24);

/// Two things that must be equal, and are not; or one of them is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unequal {
    /// The stable code.
    pub(crate) problem: &'static str,
    /// What was found.
    pub(crate) detail: String,
}

impl Unequal {
    pub(crate) fn new(problem: &'static str, detail: impl Into<String>) -> Self {
        Self { problem, detail: detail.into() }
    }
}

type Equal = Result<(), Unequal>;

fn same(problem: &'static str, what: &str, said: &str, certified: Option<&str>) -> Equal {
    if certified == Some(said) {
        return Ok(());
    }
    let certified = certified.unwrap_or("none");
    Err(Unequal::new(problem, format!("{what} is {said:?}, and by the certificate {certified:?}")))
}

fn maybe_same(problem: &'static str, what: &str, said: Option<&str>, certified: Option<&str>) -> Equal {
    said.map_or(Ok(()), |said| same(problem, what, said, certified))
}

/// The certificate's issuer is the forge that the build type belongs to.
pub(crate) fn issuer(build: &Build, certificate: &Certificate) -> Equal {
    let issuer = match build.forge {
        Forge::GitHub => "https://token.actions.githubusercontent.com",
        Forge::GitLab => "https://gitlab.com",
    };
    same("issuer", "the issuer of such builds", issuer, certificate.issuer.as_deref())
}

/// 3: the package says itself, in the tarball and in the metadata, that it comes from the certified repository. The registry
/// copies the field from the tarball, so metadata that names none, or something that is no address, is not what was published.
pub(crate) fn repository(
    in_tarball: Option<&str>,
    in_metadata: Option<&str>,
    certificate: &Certificate,
) -> Equal {
    for (problem, place, named) in [
        ("repository_manifest", "package.json", in_tarball),
        ("repository_metadata", "the metadata", in_metadata),
    ] {
        let Some(named) = named else {
            return Err(Unequal::new(problem, format!("{place} names no repository")));
        };
        let what = format!("the repository that {place} names");
        let url = repository_url(named).unwrap_or_else(|| named.to_owned());
        same(problem, &what, &url, certificate.source_repository_uri.as_deref())?;
    }
    Ok(())
}

/// 4: repository, ref and workflow are the certified ones. A reusable workflow signs under its own name: then the certificate
/// must name the top-level workflow beside it. There is no list of reusable workflows: the one that signs the first release is
/// pinned by the ledger as its `signer`, like everything else at first use, unless the policy's pin names one.
pub(crate) fn workflow(build: &Build, certificate: &Certificate) -> Equal {
    same(
        "workflow_repository",
        "the repository",
        &build.repository,
        certificate.source_repository_uri.as_deref(),
    )?;
    let git_ref = certificate.source_repository_ref.as_deref();
    maybe_same("workflow_ref", "the ref", build.git_ref.as_deref(), git_ref)?;
    let Some(git_ref) = git_ref else {
        return Err(Unequal::new("workflow_ref", "the certificate names no ref"));
    };
    if certificate.san_kind != SanKind::Uri {
        return Err(Unequal::new("workflow_path", "the certificate is a person's"));
    }
    let between = match build.forge {
        Forge::GitHub => "/",
        Forge::GitLab => "//",
    };
    let config = certificate.build_config_uri.as_deref();
    if let Some(path) = &build.workflow {
        let expected = format!("{}{between}{path}@{git_ref}", build.repository);
        // Without the extension, the subject is all that there is.
        return same("workflow_path", "the workflow", &expected, config.or(Some(&certificate.san)));
    }
    let (start, end) = (format!("{}{between}", build.repository), format!("@{git_ref}"));
    match config {
        Some(config) if config.starts_with(&start) && config.ends_with(&end) => Ok(()),
        Some(_) | None => same("workflow_path", "the workflow", &format!("{start}…{end}"), config),
    }
}

/// 5, of the source: commit, repository and owner by their numbers.
pub(crate) fn source(build: &Build, certificate: &Certificate) -> Equal {
    let digest = certificate.source_repository_digest.as_deref();
    same("source_commit", "the commit", &build.commit, digest)?;
    maybe_same(
        "source_repository_id",
        "the repository's number",
        build.repository_id.as_deref(),
        certificate.repository_id.as_deref(),
    )?;
    maybe_same(
        "source_owner_id",
        "the owner's number",
        build.owner_id.as_deref(),
        certificate.owner_id.as_deref(),
    )
}

/// 5, of the run: what started it, which one it was, and where it ran.
pub(crate) fn run(build: &Build, certificate: &Certificate) -> Equal {
    maybe_same("build_trigger", "the trigger", build.trigger.as_deref(), certificate.trigger.as_deref())?;
    let invocation = certificate.run_invocation_uri.as_deref();
    same("build_invocation", "the run", &build.invocation, invocation)?;
    let runner = certificate.runner_environment.as_deref();
    maybe_same("build_runner", "the runner", build.runner.as_deref(), runner)
}

/// 6, of the predicate: the registry published this version, and is the one that is configured; any, over HTTPS, when
/// none is.
pub(crate) fn published(
    predicate: &Value,
    package: &PackageName,
    version: &Version,
    registry: Option<&str>,
) -> Equal {
    let said = |field: &str| predicate[field].as_str().unwrap_or("none");
    for (problem, field, expected) in
        [("publish_name", "name", package.as_str()), ("publish_version", "version", version.as_str())]
    {
        if said(field) != expected {
            return Err(Unequal::new(problem, format!("it is about {:?}, not {expected:?}", said(field))));
        }
    }
    let found = said("registry");
    let equal = registry.map_or(found.starts_with("https://"), |registry| {
        registry.trim_end_matches('/') == found.trim_end_matches('/')
    });
    if equal {
        return Ok(());
    }
    let expected = registry.unwrap_or("one over HTTPS");
    Err(Unequal::new("publish_registry", format!("it is by the registry {found:?}, not {expected:?}")))
}

/// 6, of the times: signed first, published soon after.
pub(crate) fn times(provenance: Timestamp, publish: Timestamp, staged: bool) -> Equal {
    let max = if staged { STAGED_GAP_MAX } else { PUBLISH_GAP_MAX };
    let gap = publish.duration_since(provenance);
    if gap.is_negative() {
        let detail = format!("it was published at {publish}, before it was built at {provenance}");
        return Err(Unequal::new("publish_time", detail));
    }
    if gap.unsigned_abs() > max {
        let detail = format!("it was published at {publish}, long after it was built at {provenance}");
        return Err(Unequal::new("publish_time", detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
