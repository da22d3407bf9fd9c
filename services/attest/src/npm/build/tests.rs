use serde_json::json;

use super::*;
use crate::samples::{github_v0_2, github_v1, gitlab_v0_2};

/// What [`github_v1`] says.
fn github_build() -> Build {
    Build {
        forge: Forge::GitHub,
        repository: "https://github.com/org/name".into(),
        git_ref: Some("refs/tags/v1.0.0".into()),
        workflow: Some(".github/workflows/release.yml".into()),
        commit: "c0ffee0000000000000000000000000000000000".into(),
        repository_id: Some("11".into()),
        owner_id: Some("7".into()),
        trigger: Some("push".into()),
        invocation: "https://github.com/org/name/actions/runs/42/attempts/1".into(),
        runner: Some("github-hosted".into()),
    }
}

fn problem(predicate_type: &str, predicate: &Value) -> (&'static str, String) {
    let Unequal { problem, detail } = Build::parse(predicate_type, predicate).expect_err("refused");
    (problem, detail)
}

#[test]
fn every_form_says_the_same() {
    assert_eq!(Build::parse(PROVENANCE_V1, &github_v1()), Ok(github_build()));
    let without_runner = Build { runner: None, ..github_build() };
    assert_eq!(Build::parse(PROVENANCE_V0_2, &github_v0_2()), Ok(without_runner));
    let gitlab = Build {
        forge: Forge::GitLab,
        repository: "https://gitlab.com/group/name".into(),
        git_ref: None,
        workflow: Some(".gitlab-ci.yml".into()),
        invocation: "https://gitlab.com/group/name/-/jobs/42".into(),
        runner: None,
        ..github_build()
    };
    assert_eq!(Build::parse(PROVENANCE_V0_2, &gitlab_v0_2()), Ok(gitlab.clone()));
    let mut older = gitlab_v0_2();
    older["invocation"]["configSource"]["uri"] = "git+https://gitlab.com/group/name@c0ffee".into();
    older["invocation"]["parameters"] = json!({});
    let says_less = Build { workflow: None, repository_id: None, owner_id: None, trigger: None, ..gitlab };
    assert_eq!(Build::parse(PROVENANCE_V0_2, &older), Ok(says_less));
}

/// Monorepos release from such tags.
#[test]
fn a_ref_may_have_at_signs() {
    let tag = "refs/tags/@scope/pkg@1.2.3";
    let moved = |predicate: Value| {
        serde_json::from_str(&predicate.to_string().replace("refs/tags/v1.0.0", tag)).expect("JSON")
    };
    let at_tag = Build { git_ref: Some(tag.into()), ..github_build() };
    assert_eq!(Build::parse(PROVENANCE_V1, &moved(github_v1())), Ok(at_tag.clone()));
    let without_runner = Build { runner: None, ..at_tag };
    assert_eq!(Build::parse(PROVENANCE_V0_2, &moved(github_v0_2())), Ok(without_runner));
    let mut gitlab = gitlab_v0_2();
    gitlab["invocation"]["configSource"]["uri"] = format!("git+https://gitlab.com/group/name@{tag}").into();
    assert_eq!(
        Build::parse(PROVENANCE_V0_2, &gitlab).map(|build| build.repository),
        Ok("https://gitlab.com/group/name".to_owned())
    );
}

#[test]
fn an_unknown_build_type_is_refused_also_one_of_the_other_version() {
    for (predicate_type, predicate, pointer) in [
        (PROVENANCE_V1, github_v1(), "/buildDefinition/buildType"),
        (PROVENANCE_V0_2, github_v0_2(), "/buildType"),
        (PROVENANCE_V0_2, gitlab_v0_2(), "/buildType"),
    ] {
        for other in ["https://builds.example/x", GITHUB_V0_2, GITHUB_V1, ""] {
            let mut predicate = predicate.clone();
            let build_type = predicate.pointer_mut(pointer).expect("there");
            if build_type == other || (other == GITHUB_V0_2 && predicate_type == PROVENANCE_V0_2) {
                continue;
            }
            *build_type = other.into();
            assert_eq!(
                problem(predicate_type, &predicate),
                ("build_type", format!("{other:?} is not known"))
            );
        }
    }
    assert_eq!(problem("https://slsa.dev/provenance/v2", &github_v1()).0, "build_type");
}

#[test]
fn a_predicate_that_leaves_something_out_is_refused() {
    let cases: [(&str, Value, &[&str]); 3] = [
        (
            PROVENANCE_V1,
            github_v1(),
            &[
                "/buildDefinition/buildType",
                "/buildDefinition/externalParameters/workflow/repository",
                "/buildDefinition/externalParameters/workflow/ref",
                "/buildDefinition/externalParameters/workflow/path",
                "/buildDefinition/internalParameters/github/event_name",
                "/buildDefinition/internalParameters/github/repository_id",
                "/buildDefinition/internalParameters/github/repository_owner_id",
                "/buildDefinition/resolvedDependencies",
                "/buildDefinition/resolvedDependencies/0/digest/gitCommit",
                "/runDetails/metadata/invocationId",
                "/runDetails/builder/id",
            ],
        ),
        (
            PROVENANCE_V0_2,
            github_v0_2(),
            &[
                "/invocation/configSource/uri",
                "/invocation/configSource/digest/sha1",
                "/invocation/configSource/entryPoint",
                "/invocation/environment/GITHUB_EVENT_NAME",
                "/invocation/environment/GITHUB_REPOSITORY_ID",
                "/invocation/environment/GITHUB_REPOSITORY_OWNER_ID",
                "/invocation/environment/GITHUB_RUN_ATTEMPT",
                "/metadata/buildInvocationId",
                "/materials",
                "/builder/id",
            ],
        ),
        (
            PROVENANCE_V0_2,
            gitlab_v0_2(),
            &["/invocation/configSource/uri", "/metadata/buildInvocationId", "/materials", "/builder/id"],
        ),
    ];
    for (predicate_type, predicate, pointers) in cases {
        for pointer in pointers {
            for nothing in [Value::Null, json!(7)] {
                let mut predicate = predicate.clone();
                *predicate.pointer_mut(pointer).expect(pointer) = nothing;
                assert_eq!(problem(predicate_type, &predicate).0, "predicate", "{pointer}");
            }
        }
    }
}

#[test]
fn a_predicate_that_contradicts_itself_is_refused() {
    for (pointer, value, detail) in [
        (
            "/invocation/environment/GITHUB_REPOSITORY",
            "org/other",
            "it says both \"org/other\" and \"org/name\"",
        ),
        (
            "/invocation/environment/GITHUB_REF",
            "refs/heads/main",
            "it says both \"refs/heads/main\" and \"refs/tags/v1.0.0\"",
        ),
        (
            "/invocation/environment/GITHUB_SHA",
            "beef",
            "it says both \"beef\" and \"c0ffee0000000000000000000000000000000000\"",
        ),
        (
            "/materials/0/digest/sha1",
            "beef",
            "it says both \"beef\" and \"c0ffee0000000000000000000000000000000000\"",
        ),
        ("/metadata/buildInvocationId", "42-2", "it says both \"42-2\" and \"42-1\""),
        (
            "/materials/0/uri",
            "git+https://github.com/org/name2@refs/tags/v1.0.0",
            "it does not say /materials of https://github.com/org/name",
        ),
    ] {
        let mut predicate = github_v0_2();
        *predicate.pointer_mut(pointer).expect(pointer) = value.into();
        assert_eq!(problem(PROVENANCE_V0_2, &predicate), ("predicate", detail.to_owned()), "{pointer}");
    }
    let mut gitlab = gitlab_v0_2();
    gitlab["materials"][0]["digest"]["sha1"] = "beef".into();
    assert_eq!(problem(PROVENANCE_V0_2, &gitlab).0, "predicate");
}

#[test]
fn the_repository_is_one_source_and_not_two() {
    let mut two = github_v1();
    let sources = &mut two["buildDefinition"]["resolvedDependencies"];
    let again = sources[0].clone();
    sources.as_array_mut().expect("a list").push(again);
    let detail = "/buildDefinition/resolvedDependencies names \"https://github.com/org/name\" twice";
    assert_eq!(problem(PROVENANCE_V1, &two), ("predicate", detail.to_owned()));

    let mut more = github_v1();
    let other = json!({ "uri": "git+https://github.com/org/namesake@refs/heads/main", "digest": {} });
    more["buildDefinition"]["resolvedDependencies"].as_array_mut().expect("a list").push(other);
    assert_eq!(Build::parse(PROVENANCE_V1, &more), Ok(github_build()));
}

#[test]
fn a_builder_is_a_runner_of_the_forge() {
    for (id, expected) in [
        ("https://github.com/actions/runner", Ok(None)),
        ("https://github.com/actions/runner/self-hosted", Ok(Some("self-hosted".to_owned()))),
        ("https://github.com/actions/runner/", Err("build_runner")),
        ("https://github.com/actions/runners/github-hosted", Err("build_runner")),
        ("https://builds.example/", Err("build_runner")),
    ] {
        assert_eq!(github_runner(id).map_err(|unequal| unequal.problem), expected, "{id}");
    }
    let mut bare = github_v1();
    bare["runDetails"]["builder"]["id"] = GITHUB_RUNNER.into();
    assert_eq!(problem(PROVENANCE_V1, &bare), ("predicate", "it does not say runner".to_owned()));
    let mut gitlab = gitlab_v0_2();
    gitlab["builder"]["id"] = "https://gitlab.com/group/other/-/runners/1".into();
    assert_eq!(problem(PROVENANCE_V0_2, &gitlab).0, "build_runner");
}
