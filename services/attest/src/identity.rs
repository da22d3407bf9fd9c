//! From a verified certificate to the identity that continuity is about.

use touchstone_attestation::{Certificate, SanKind};
use touchstone_domain::Identity;

/// The identity in a certificate; `None` when it names no issuer, since a signer without one is nobody.
pub(crate) fn identity(certificate: &Certificate) -> Option<Identity> {
    let signer = match certificate.san_kind {
        SanKind::Uri => without_ref(&certificate.san),
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
    let config = without_ref(certificate.build_config_uri.as_deref()?);
    let repository = certificate.source_repository_uri.as_deref().unwrap_or_default();
    let path = config.strip_prefix(repository).filter(|rest| rest.starts_with('/')).unwrap_or(config);
    Some(path.trim_start_matches('/').to_owned())
}

fn without_ref(uri: &str) -> &str {
    uri.rsplit_once('@').map_or(uri, |(uri, _)| uri)
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
    fn a_workflow_is_the_path_in_the_repository_or_the_whole_address() {
        let mut fields = github();
        for (config, expected) in [
            ("https://gitlab.com/group/sub/name//ci/.gitlab-ci.yml@refs/heads/main", "ci/.gitlab-ci.yml"),
            (
                "https://gitlab.com/group/sub/namesake//x.yml@y",
                "https://gitlab.com/group/sub/namesake//x.yml",
            ),
            ("https://gitlab.com/group/sub/name//x@y.yml@refs/tags/a", "x@y.yml"),
        ] {
            fields["source_repository_uri"] = "https://gitlab.com/group/sub/name".into();
            fields["build_config_uri"] = config.into();
            assert_eq!(identity(&certificate(&fields)).and_then(|i| i.workflow).as_deref(), Some(expected));
        }
    }
}
