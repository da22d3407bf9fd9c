//! From a verified certificate to the identity that continuity is about.

use touchstone_attestation::{Certificate, SanKind};
use touchstone_domain::Identity;

/// The identity in a certificate; `None` when it names no issuer, since a signer without one is nobody.
pub(crate) fn identity(certificate: &Certificate) -> Option<Identity> {
    let signer = match certificate.san_kind {
        SanKind::Uri => {
            without_ref(&certificate.san, certificate.build_signer_digest.as_deref(), certificate)
        }
        SanKind::Email => &certificate.san,
    };
    Some(Identity {
        issuer: certificate.issuer.clone()?,
        signer: signer.to_owned(),
        repository: certificate.source_repository_uri.clone(),
        repository_id: certificate.repository_id.clone(),
        owner_id: certificate.owner_id.clone(),
        workflow: workflow(certificate),
        git_ref: certificate.source_repository_ref.clone(),
        trigger: certificate.trigger.clone(),
        runner: certificate.runner_environment.clone(),
    })
}

/// The path of the top-level workflow: what is behind the repository (one slash at GitHub, two at GitLab) and before the ref.
fn workflow(certificate: &Certificate) -> Option<String> {
    let uri = certificate.build_config_uri.as_deref()?;
    let config = without_ref(uri, certificate.build_config_digest.as_deref(), certificate);
    let repository = certificate.source_repository_uri.as_deref().unwrap_or_default();
    let path = config.strip_prefix(repository).filter(|rest| rest.starts_with('/')).unwrap_or(config);
    Some(path.trim_start_matches('/').to_owned())
}

/// A workflow's address without the ref that it is used at, which changes from release to release. Tags and paths may have an
/// `@` themselves (`refs/tags/@scope/name@1.2.3`), so only what is known to be a ref is taken away: the ref that was built, its
/// commit, or, for a reusable workflow, which has a ref of its own, its commit or what stands behind a GitHub workflow file.
/// Anything else stays, for then it is not known where the path ends.
fn without_ref<'u>(uri: &'u str, commit: Option<&str>, certificate: &Certificate) -> &'u str {
    let refs = [
        certificate.source_repository_ref.as_deref(),
        certificate.source_repository_digest.as_deref(),
        commit,
    ];
    let without = |git_ref: &str| uri.strip_suffix(git_ref)?.strip_suffix('@');
    let known = refs.into_iter().flatten().filter(|git_ref| !git_ref.is_empty()).find_map(without);
    known.or_else(|| github_file(uri)).unwrap_or(uri)
}

/// What is before the ref of a workflow at GitHub, whose files have no slash in their name: neither has what is before the
/// first `@refs/`.
fn github_file(uri: &str) -> Option<&str> {
    const WORKFLOWS: &str = "/.github/workflows/";
    let start = uri.find(WORKFLOWS)? + WORKFLOWS.len();
    let name = uri[start..].find("@refs/").filter(|end| !uri[start..start + end].contains('/'))?;
    Some(&uri[..start + name])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::samples::{certificate, github};

    #[test]
    fn an_identity_is_read_from_the_extensions_that_cannot_be_chosen() {
        let expected = Identity {
            issuer: "https://token.actions.githubusercontent.com".into(),
            signer: "https://github.com/org/name/.github/workflows/release.yml".into(),
            repository: Some("https://github.com/org/name".into()),
            repository_id: Some("11".into()),
            owner_id: Some("7".into()),
            workflow: Some(".github/workflows/release.yml".into()),
            git_ref: Some("refs/tags/v1.0.0".into()),
            trigger: Some("push".into()),
            runner: Some("github-hosted".into()),
        };
        assert_eq!(identity(&certificate(&github())), Some(expected));
    }

    #[test]
    fn people_keep_their_address_and_nobody_is_nobody() {
        let person =
            json!({ "san": "a@b.example", "san_kind": "email", "issuer": "https://accounts.example" });
        let found = identity(&certificate(&person)).expect("an issuer");
        assert_eq!((found.signer.as_str(), found.workflow), ("a@b.example", None));
        let nobody = json!({ "san": "a@b.example", "san_kind": "email" });
        assert_eq!(identity(&certificate(&nobody)), None);
    }

    #[test]
    fn only_the_ref_is_taken_away_however_many_at_signs_there_are() {
        const FILE: &str = "https://github.com/org/name/.github/workflows/release.yml";
        const OTHER: &str = "https://github.com/org/shared/.github/workflows/x@y.yml";
        let signer = |san: &str, git_ref: &str, more: &[(&str, &str)]| {
            let mut fields = github();
            (fields["san"], fields["source_repository_ref"]) = (san.into(), git_ref.into());
            for (field, value) in more {
                fields[*field] = (*value).into();
            }
            identity(&certificate(&fields)).expect("an issuer").signer
        };
        for tag in [
            "refs/tags/@scope/pkg@1.2.3",
            "refs/tags/pkg@1.2.3",
            "refs/tags/a@refs/tags/b",
            "refs/heads/main",
        ] {
            assert_eq!(signer(&format!("{FILE}@{tag}"), tag, &[]), FILE);
            // A reusable workflow, used at a ref of its own.
            assert_eq!(signer(&format!("{OTHER}@{tag}"), "refs/heads/x", &[]), OTHER);
        }
        let commit = "09b495c3f12c7881b3cc17209a327792065c1a1d";
        let at_commit = format!("{OTHER}@{commit}");
        assert_eq!(signer(&at_commit, "refs/heads/x", &[("build_signer_digest", commit)]), OTHER);
        assert_eq!(signer(&at_commit, "refs/heads/x", &[("source_repository_digest", commit)]), OTHER);
        // Nothing says that these are refs.
        for unknown in
            [&*at_commit, "https://ci.example/org/x@y", "https://ci.example/x/.github/workflows/a/b@refs/c"]
        {
            assert_eq!(signer(unknown, "refs/heads/x", &[]), unknown);
        }
    }

    #[test]
    fn a_workflow_is_the_path_in_the_repository_or_the_whole_address() {
        let mut fields = github();
        for (config, git_ref, expected) in [
            ("name//ci/.gitlab-ci.yml", "refs/heads/main", "ci/.gitlab-ci.yml"),
            ("namesake//x.yml", "y", "https://gitlab.com/group/sub/namesake//x.yml"),
            ("name//x@y.yml", "refs/tags/a", "x@y.yml"),
            ("name//x@refs/heads/y.yml", "refs/tags/@scope/pkg@1.2.3", "x@refs/heads/y.yml"),
        ] {
            fields["source_repository_uri"] = "https://gitlab.com/group/sub/name".into();
            fields["source_repository_ref"] = git_ref.into();
            fields["build_config_uri"] = format!("https://gitlab.com/group/sub/{config}@{git_ref}").into();
            assert_eq!(identity(&certificate(&fields)).and_then(|i| i.workflow).as_deref(), Some(expected));
        }
    }
}
