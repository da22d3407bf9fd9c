//! What a provenance predicate says about the build, in one form for every build type that npm publishes with
//! (ecosystems.md 4.1.4). Unsigned by anybody but the build itself: each field is compared with the certificate.
//!
//! A predicate of an unknown build type, or without a field that its build type always has, is refused.

use serde_json::Value;
use touchstone_attestation::VerifiedStatement;
use touchstone_ecosystems::npm::attestation::{PROVENANCE_V0_2, PROVENANCE_V1};

use super::equalities::Unequal;

/// The build type of GitHub's provenance v1.
const GITHUB_V1: &str = "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1";
/// The build type of GitHub's provenance v0.2, which npm 9 wrote.
const GITHUB_V0_2: &str = "https://github.com/npm/cli/gha/v2";
/// The build type of GitLab's provenance v0.2, and the one before it.
const GITLAB_V0_2: [&str; 2] =
    ["https://github.com/npm/cli/gitlab/v0alpha1", "https://github.com/npm/cli/gitlab/v1alpha1"];
/// What the id of a GitHub builder starts with.
const GITHUB_RUNNER: &str = "https://github.com/actions/runner";

/// Where it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forge {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI/CD.
    GitLab,
}

/// What the predicate says. `None` where the build type says nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) forge: Forge,
    /// The repository's address.
    pub(crate) repository: String,
    pub(crate) git_ref: Option<String>,
    /// The path of the workflow in the repository.
    pub(crate) workflow: Option<String>,
    pub(crate) commit: String,
    pub(crate) repository_id: Option<String>,
    pub(crate) owner_id: Option<String>,
    /// What started it.
    pub(crate) trigger: Option<String>,
    /// The run's address.
    pub(crate) invocation: String,
    /// Where it ran: `github-hosted`, for instance.
    pub(crate) runner: Option<String>,
}

impl Build {
    /// Reads the predicate of a verified statement.
    pub(crate) fn of(statement: &VerifiedStatement) -> Result<Self, Unequal> {
        Self::parse(statement.predicate_type(), statement.predicate())
    }

    pub(super) fn parse(predicate_type: &str, predicate: &Value) -> Result<Self, Unequal> {
        let read = Predicate(predicate);
        match predicate_type {
            PROVENANCE_V1 => match read.text("/buildDefinition/buildType")? {
                GITHUB_V1 => github_v1(read),
                other => Err(unknown(other)),
            },
            PROVENANCE_V0_2 => match read.text("/buildType")? {
                GITHUB_V0_2 => github_v0_2(read),
                gitlab if GITLAB_V0_2.contains(&gitlab) => gitlab_v0_2(read),
                other => Err(unknown(other)),
            },
            other => Err(unknown(other)),
        }
    }
}

fn github_v1(read: Predicate<'_>) -> Result<Build, Unequal> {
    let workflow = |field: &str| read.text(&format!("/buildDefinition/externalParameters/workflow/{field}"));
    let github = |field: &str| read.text(&format!("/buildDefinition/internalParameters/github/{field}"));
    let repository = workflow("repository")?;
    Ok(Build {
        forge: Forge::GitHub,
        repository: repository.to_owned(),
        git_ref: Some(workflow("ref")?.to_owned()),
        workflow: Some(workflow("path")?.to_owned()),
        commit: read.commit("/buildDefinition/resolvedDependencies", "gitCommit", repository)?.to_owned(),
        repository_id: Some(github("repository_id")?.to_owned()),
        owner_id: Some(github("repository_owner_id")?.to_owned()),
        trigger: Some(github("event_name")?.to_owned()),
        invocation: read.text("/runDetails/metadata/invocationId")?.to_owned(),
        runner: Some(github_runner(read.text("/runDetails/builder/id")?)?.ok_or_else(|| missing("runner"))?),
    })
}

fn github_v0_2(read: Predicate<'_>) -> Result<Build, Unequal> {
    let environment = |name: &str| read.text(&format!("/invocation/environment/{name}"));
    let source = read.text("/invocation/configSource/uri")?;
    // A repository's address has no `@`, and a tag may have several.
    let (repository, git_ref) =
        source.strip_prefix("git+").and_then(|uri| uri.split_once('@')).ok_or_else(|| missing("ref"))?;
    let commit = read.text("/invocation/configSource/digest/sha1")?;
    let (run, attempt) = (environment("GITHUB_RUN_ID")?, environment("GITHUB_RUN_ATTEMPT")?);
    // It says most things twice, and may not contradict itself.
    let name = repository.strip_prefix("https://github.com/").unwrap_or(repository);
    for (twice, once) in [
        (environment("GITHUB_REPOSITORY")?, name),
        (environment("GITHUB_REF")?, git_ref),
        (environment("GITHUB_SHA")?, commit),
        (read.commit("/materials", "sha1", repository)?, commit),
        (read.text("/metadata/buildInvocationId")?, &format!("{run}-{attempt}")),
    ] {
        if twice != once {
            return Err(Unequal::new("predicate", format!("it says both {twice:?} and {once:?}")));
        }
    }
    Ok(Build {
        forge: Forge::GitHub,
        repository: repository.to_owned(),
        git_ref: Some(git_ref.to_owned()),
        workflow: Some(read.text("/invocation/configSource/entryPoint")?.to_owned()),
        commit: commit.to_owned(),
        repository_id: Some(environment("GITHUB_REPOSITORY_ID")?.to_owned()),
        owner_id: Some(environment("GITHUB_REPOSITORY_OWNER_ID")?.to_owned()),
        trigger: Some(environment("GITHUB_EVENT_NAME")?.to_owned()),
        invocation: format!("{repository}/actions/runs/{run}/attempts/{attempt}"),
        runner: github_runner(read.text("/builder/id")?)?,
    })
}

/// GitLab's form names fewer things, and most of them among parameters that differ from version to version.
fn gitlab_v0_2(read: Predicate<'_>) -> Result<Build, Unequal> {
    let parameter = |name: &str| read.maybe(&format!("/invocation/parameters/{name}")).map(str::to_owned);
    let source = read.text("/invocation/configSource/uri")?;
    let source = source.strip_prefix("git+").ok_or_else(|| missing("git+"))?;
    let repository = source.split_once('@').map_or(source, |(repository, _)| repository);
    let commit = read.text("/invocation/configSource/digest/sha1")?;
    let material = read.commit("/materials", "sha1", repository)?;
    if material != commit {
        return Err(Unequal::new("predicate", format!("it says both {material:?} and {commit:?}")));
    }
    let builder = read.text("/builder/id")?;
    if !builder.starts_with(&format!("{repository}/-/runners/")) {
        return Err(Unequal::new("build_runner", format!("{builder:?} is no runner of {repository:?}")));
    }
    Ok(Build {
        forge: Forge::GitLab,
        repository: repository.to_owned(),
        git_ref: None,
        workflow: parameter("CI_CONFIG_PATH"),
        commit: commit.to_owned(),
        repository_id: parameter("CI_PROJECT_ID"),
        owner_id: parameter("CI_PROJECT_NAMESPACE_ID"),
        trigger: parameter("CI_PIPELINE_SOURCE"),
        invocation: read.text("/metadata/buildInvocationId")?.to_owned(),
        runner: None,
    })
}

/// The runner that a builder's id names, if it names one.
fn github_runner(id: &str) -> Result<Option<String>, Unequal> {
    match id.strip_prefix(GITHUB_RUNNER) {
        Some("") => Ok(None),
        Some(rest) if rest.len() > 1 && rest.starts_with('/') => Ok(Some(rest[1..].to_owned())),
        Some(_) | None => Err(Unequal::new("build_runner", format!("{id:?} is no builder of GitHub's"))),
    }
}

/// A predicate, by JSON pointers.
#[derive(Clone, Copy)]
struct Predicate<'a>(&'a Value);

impl<'a> Predicate<'a> {
    fn maybe(self, pointer: &str) -> Option<&'a str> {
        self.0.pointer(pointer).and_then(Value::as_str)
    }

    fn text(self, pointer: &str) -> Result<&'a str, Unequal> {
        self.maybe(pointer).ok_or_else(|| missing(pointer))
    }

    /// The commit of the one source that is the repository.
    fn commit(self, list: &str, algorithm: &str, repository: &str) -> Result<&'a str, Unequal> {
        let sources = self.0.pointer(list).and_then(Value::as_array).ok_or_else(|| missing(list))?;
        let is_repository = |source: &&Value| {
            let uri = source["uri"].as_str().and_then(|uri| uri.strip_prefix("git+"));
            let rest = uri.and_then(|uri| uri.strip_prefix(repository));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        };
        let mut found = sources.iter().filter(is_repository);
        match (found.next(), found.next()) {
            (Some(source), None) => source["digest"][algorithm].as_str().ok_or_else(|| missing(algorithm)),
            (None, _) => Err(missing(&format!("{list} of {repository}"))),
            (Some(_), Some(_)) => {
                Err(Unequal::new("predicate", format!("{list} names {repository:?} twice")))
            }
        }
    }
}

fn missing(what: &str) -> Unequal {
    Unequal::new("predicate", format!("it does not say {what}"))
}

fn unknown(build_type: &str) -> Unequal {
    Unequal::new("build_type", format!("{build_type:?} is not known"))
}

#[cfg(test)]
mod tests;
