//! What the tests of the pure modules start from: facts that agree, to be changed one at a time.

use serde_json::{Value, json};
use touchstone_attestation::Certificate;

/// The fields of a GitHub workflow's certificate.
pub(crate) fn github() -> Value {
    let workflow = "https://github.com/org/name/.github/workflows/release.yml@refs/tags/v1.0.0";
    json!({
        "san": workflow, "san_kind": "uri",
        "issuer": "https://token.actions.githubusercontent.com",
        "runner_environment": "github-hosted",
        "source_repository_uri": "https://github.com/org/name",
        "source_repository_digest": "c0ffee0000000000000000000000000000000000",
        "source_repository_ref": "refs/tags/v1.0.0",
        "repository_id": "11", "owner_uri": "https://github.com/org", "owner_id": "7",
        "build_config_uri": workflow,
        "trigger": "push",
        "run_invocation_uri": "https://github.com/org/name/actions/runs/42/attempts/1",
    })
}

/// The fields of a GitLab pipeline's certificate.
pub(crate) fn gitlab() -> Value {
    let workflow = "https://gitlab.com/group/name//.gitlab-ci.yml@refs/heads/main";
    json!({
        "san": workflow, "san_kind": "uri",
        "issuer": "https://gitlab.com",
        "runner_environment": "gitlab-hosted",
        "source_repository_uri": "https://gitlab.com/group/name",
        "source_repository_digest": "c0ffee0000000000000000000000000000000000",
        "source_repository_ref": "refs/heads/main",
        "repository_id": "11", "owner_uri": "https://gitlab.com/group", "owner_id": "7",
        "build_config_uri": workflow,
        "trigger": "push",
        "run_invocation_uri": "https://gitlab.com/group/name/-/jobs/42",
    })
}

/// A certificate with these fields, and none besides.
pub(crate) fn certificate(fields: &Value) -> Certificate {
    let mut all = json!({
        "san": "", "san_kind": "uri", "issuer": null, "build_signer_uri": null, "build_signer_digest": null,
        "runner_environment": null, "source_repository_uri": null, "source_repository_digest": null,
        "source_repository_ref": null, "repository_id": null, "owner_uri": null, "owner_id": null,
        "build_config_uri": null, "build_config_digest": null, "trigger": null, "run_invocation_uri": null,
        "visibility": null, "environment": null, "token_subject": null,
        "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-01-01T00:10:00Z",
    });
    for (name, value) in fields.as_object().expect("fields") {
        all[name] = value.clone();
    }
    serde_json::from_value(all).expect("a certificate")
}

/// The predicate of provenance v1 that agrees with [`github`].
pub(crate) fn github_v1() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
            "externalParameters": { "workflow": {
                "ref": "refs/tags/v1.0.0", "repository": "https://github.com/org/name",
                "path": ".github/workflows/release.yml",
            } },
            "internalParameters": { "github": {
                "event_name": "push", "repository_id": "11", "repository_owner_id": "7",
            } },
            "resolvedDependencies": [{
                "uri": "git+https://github.com/org/name@refs/tags/v1.0.0",
                "digest": { "gitCommit": "c0ffee0000000000000000000000000000000000" },
            }],
        },
        "runDetails": {
            "builder": { "id": "https://github.com/actions/runner/github-hosted" },
            "metadata": { "invocationId": "https://github.com/org/name/actions/runs/42/attempts/1" },
        },
    })
}

/// The predicate of provenance v0.2 that agrees with [`github`].
pub(crate) fn github_v0_2() -> Value {
    let source = json!({
        "uri": "git+https://github.com/org/name@refs/tags/v1.0.0",
        "digest": { "sha1": "c0ffee0000000000000000000000000000000000" },
    });
    json!({
        "buildType": "https://github.com/npm/cli/gha/v2",
        "builder": { "id": "https://github.com/actions/runner" },
        "invocation": {
            "configSource": {
                "uri": source["uri"], "digest": source["digest"], "entryPoint": ".github/workflows/release.yml",
            },
            "environment": {
                "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/tags/v1.0.0", "GITHUB_REPOSITORY": "org/name",
                "GITHUB_REPOSITORY_ID": "11", "GITHUB_REPOSITORY_OWNER_ID": "7", "GITHUB_RUN_ATTEMPT": "1",
                "GITHUB_RUN_ID": "42", "GITHUB_SHA": "c0ffee0000000000000000000000000000000000",
            },
        },
        "metadata": { "buildInvocationId": "42-1" },
        "materials": [source],
    })
}

/// The predicate of provenance v0.2 that agrees with [`gitlab`].
pub(crate) fn gitlab_v0_2() -> Value {
    let source = json!({
        "uri": "git+https://gitlab.com/group/name",
        "digest": { "sha1": "c0ffee0000000000000000000000000000000000" },
    });
    json!({
        "buildType": "https://github.com/npm/cli/gitlab/v0alpha1",
        "builder": { "id": "https://gitlab.com/group/name/-/runners/12270852" },
        "invocation": {
            "configSource": { "uri": source["uri"], "digest": source["digest"], "entryPoint": "publish" },
            "parameters": {
                "CI_COMMIT_REF_NAME": "main", "CI_CONFIG_PATH": ".gitlab-ci.yml", "CI_PIPELINE_SOURCE": "push",
                "CI_PROJECT_ID": "11", "CI_PROJECT_NAMESPACE_ID": "7",
            },
        },
        "metadata": { "buildInvocationId": "https://gitlab.com/group/name/-/jobs/42" },
        "materials": [source],
    })
}
