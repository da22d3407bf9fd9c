use serde_json::json;

use super::*;
use crate::{
    npm::build::Build,
    samples::{certificate, github, github_v0_2, github_v1, gitlab, gitlab_v0_2},
};

const V1: &str = "https://slsa.dev/provenance/v1";
const V0_2: &str = "https://slsa.dev/provenance/v0.2";

/// Each form of provenance, with the certificate that agrees with it.
fn forms() -> [(Build, Value); 3] {
    let build = |kind, predicate: Value| Build::parse(kind, &predicate).expect("a build");
    [
        (build(V1, github_v1()), github()),
        (build(V0_2, github_v0_2()), github()),
        (build(V0_2, gitlab_v0_2()), gitlab()),
    ]
}

fn all(build: &Build, fields: &Value) -> Result<(), (&'static str, String)> {
    let certificate = &certificate(fields);
    let checks = [issuer, workflow, source, run];
    checks.iter().try_for_each(|check| check(build, certificate)).map_err(|u| (u.problem, u.detail))
}

#[test]
fn what_agrees_is_accepted() {
    for (build, fields) in forms() {
        assert_eq!(all(&build, &fields), Ok(()));
    }
}

/// A-29, 4.1.6: every field that the certificate has is another one, or gone.
#[test]
fn each_certified_field_decides() {
    for (field, other, problem) in [
        ("issuer", "https://token.actions.githubusercontent.com.evil.example", "issuer"),
        ("issuer", "https://token.actions.githubusercontent.com/", "issuer"),
        ("issuer", "https://TOKEN.actions.githubusercontent.com", "issuer"),
        ("source_repository_uri", "https://github.com/org/name-evil", "workflow_repository"),
        ("source_repository_uri", "https://github.com/Org/name", "workflow_repository"),
        ("source_repository_ref", "refs/heads/x", "workflow_ref"),
        (
            "build_config_uri",
            "https://github.com/org/name/.github/workflows/other.yml@refs/tags/v1.0.0",
            "workflow_path",
        ),
        (
            "build_config_uri",
            "https://github.com/org/name/.github/workflows/release.yml@refs/heads/x",
            "workflow_path",
        ),
        (
            "build_config_uri",
            "https://github.com/fork/name/.github/workflows/release.yml@refs/tags/v1.0.0",
            "workflow_path",
        ),
        ("source_repository_digest", "beef", "source_commit"),
        ("repository_id", "12", "source_repository_id"),
        ("owner_id", "8", "source_owner_id"),
        ("trigger", "pull_request_target", "build_trigger"),
        ("run_invocation_uri", "https://github.com/org/name/actions/runs/42/attempts/2", "build_invocation"),
        ("runner_environment", "self-hosted", "build_runner"),
    ] {
        let [(build, fields), ..] = forms();
        for found in [json!(other), Value::Null] {
            let mut fields = fields.clone();
            fields[field] = found.clone();
            if field == "build_config_uri" && found.is_null() {
                // Then the subject decides, which agrees.
                assert_eq!(all(&build, &fields), Ok(()));
                continue;
            }
            let refused = all(&build, &fields).expect_err(other);
            assert_eq!(refused.0, problem, "{field}: {other}");
            let shown = found.as_str().unwrap_or("none");
            assert!(refused.1.ends_with(&format!("by the certificate {shown:?}")), "{}", refused.1);
        }
    }
}

#[test]
fn the_older_forms_are_compared_as_far_as_they_go() {
    let [_, (github, fields), (gitlab, project)] = forms();
    let unequal = |build: &Build, fields: &Value, field: &str, value: &str| {
        let mut fields = fields.clone();
        fields[field] = value.into();
        all(build, &fields).map_err(|(problem, _)| problem)
    };
    assert_eq!(unequal(&github, &fields, "trigger", "workflow_dispatch"), Err("build_trigger"));
    assert_eq!(unequal(&github, &fields, "runner_environment", "self-hosted"), Ok(()), "it names no runner");
    assert_eq!(unequal(&gitlab, &project, "repository_id", "12"), Err("source_repository_id"));
    assert_eq!(unequal(&gitlab, &project, "owner_id", "8"), Err("source_owner_id"));
    assert_eq!(unequal(&gitlab, &project, "trigger", "web"), Err("build_trigger"));
    assert_eq!(unequal(&gitlab, &project, "issuer", "https://gitlab.example"), Err("issuer"));
    let jobs = "https://gitlab.com/group/name/-/jobs/43";
    assert_eq!(unequal(&gitlab, &project, "run_invocation_uri", jobs), Err("build_invocation"));

    let without_path = Build { workflow: None, ..gitlab };
    assert_eq!(all(&without_path, &project), Ok(()));
    for other in [
        "https://gitlab.com/group/name/.gitlab-ci.yml@refs/heads/main",
        "https://gitlab.com/group/name//.gitlab-ci.yml@refs/heads/main2",
        "https://gitlab.com/group/other//.gitlab-ci.yml@refs/heads/main",
    ] {
        assert_eq!(
            unequal(&without_path, &project, "build_config_uri", other),
            Err("workflow_path"),
            "{other}"
        );
    }
}

/// the reusable workflow's own name is the subject; the top-level workflow must be the one that is said.
#[test]
fn a_reusable_workflow_signs_under_its_own_name() {
    let [(build, mut fields), ..] = forms();
    fields["san"] = "https://github.com/shared/ci/.github/workflows/publish.yml@refs/heads/v2".into();
    assert_eq!(all(&build, &fields), Ok(()));
    fields["build_config_uri"] = Value::Null;
    assert_eq!(all(&build, &fields).map_err(|refused| refused.0), Err("workflow_path"));
    fields["build_config_uri"] = fields["san"].clone();
    assert_eq!(all(&build, &fields).map_err(|refused| refused.0), Err("workflow_path"));
    fields["san_kind"] = "email".into();
    let detail = "the certificate is a person's".to_owned();
    assert_eq!(all(&build, &fields), Err(("workflow_path", detail)));
}

#[test]
fn the_package_names_the_repository_that_built_it() {
    let found = |in_tarball: Option<&str>, in_metadata: Option<&str>| {
        repository(in_tarball, in_metadata, &certificate(&github())).map_err(|unequal| unequal.problem)
    };
    let ours = "git+https://github.com/org/name.git";
    for same in [
        ours,
        "github:org/name",
        "org/name",
        "https://github.com/org/name",
        "git+ssh://git@github.com/org/name.git",
    ] {
        assert_eq!(found(Some(same), Some(ours)), Ok(()), "{same}");
        assert_eq!(found(Some(ours), Some(same)), Ok(()), "{same}");
    }
    assert_eq!(found(Some(ours), None), Err("repository_metadata"));
    for other in [
        "https://github.com/org/other",
        "https://github.com/Org/name",
        "https://github.com/org/name:8",
        "nonsense",
    ] {
        assert_eq!(found(Some(other), Some(ours)), Err("repository_manifest"), "{other}");
        assert_eq!(found(Some(ours), Some(other)), Err("repository_metadata"), "{other}");
    }
    assert_eq!(found(None, Some(ours)), Err("repository_manifest"));
}

#[test]
fn the_registry_published_this_version() {
    let (package, version) =
        (PackageName::new("@s/p").expect("a name"), Version::new("1.0.0").expect("a version"));
    let good = json!({ "name": "@s/p", "version": "1.0.0", "registry": "https://registry.example" });
    let check = |predicate: &Value, registry| {
        published(predicate, &package, &version, registry).map_err(|unequal| unequal.problem)
    };
    for registry in [None, Some("https://registry.example"), Some("https://registry.example/")] {
        assert_eq!(check(&good, registry), Ok(()));
    }
    assert_eq!(check(&good, Some("https://other.example")), Err("publish_registry"));
    for (field, other, problem) in [
        ("name", "p", "publish_name"),
        ("name", "@S/p", "publish_name"),
        ("version", "1.0.1", "publish_version"),
        ("registry", "http://registry.example", "publish_registry"),
    ] {
        for found in [json!(other), Value::Null] {
            let mut predicate = good.clone();
            predicate[field] = found;
            assert_eq!(check(&predicate, None), Err(problem), "{field}: {other}");
        }
    }
    assert_eq!(check(&Value::Null, None), Err("publish_name"));
}

#[test]
fn it_was_published_soon_after_it_was_built() {
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let built = at("2026-01-01T00:00:00Z");
    let check = |publish: &str, staged| times(built, at(publish), staged).map_err(|unequal| unequal.detail);
    assert_eq!(check("2026-01-01T00:00:00Z", false), Ok(()));
    assert_eq!(check("2026-01-01T01:00:00Z", false), Ok(()));
    let late = "it was published at 2026-01-01T01:00:01Z, long after it was built at 2026-01-01T00:00:00Z";
    assert_eq!(check("2026-01-01T01:00:01Z", false), Err(late.to_owned()));
    assert_eq!(check("2026-01-01T01:00:01Z", true), Ok(()));
    assert_eq!(check("2026-01-31T00:00:00Z", true), Ok(()));
    check("2026-01-31T00:00:01Z", true).expect_err("a month is over");
    let early = "it was published at 2025-12-31T23:59:59Z, before it was built at 2026-01-01T00:00:00Z";
    assert_eq!(check("2025-12-31T23:59:59Z", true), Err(early.to_owned()));
}
