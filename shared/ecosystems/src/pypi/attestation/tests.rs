use super::*;

fn package(name: &str) -> PackageName {
    PackageName::new(name).expect(name)
}

fn file(name: &str) -> FileName {
    FileName::new(name).expect(name)
}

fn malformed(problem: &str) -> DocumentError {
    DocumentError::Malformed { problem: problem.to_owned() }
}

/// Without the place in the document.
fn placeless(error: DocumentError) -> DocumentError {
    match error {
        DocumentError::Malformed { problem } => {
            malformed(problem.split(" at line ").next().unwrap_or_default())
        }
        DocumentError::Limit { .. } | DocumentError::DuplicateKey { .. } => error,
    }
}

const SOUND: &str = r#"{"version":1,"attestation_bundles":[
 {"publisher":{"kind":"GitHub","claims":null,"repository":"o/r","workflow":"release.yml","environment":""},
  "attestations":[{ "version" : 1 },{"b":2}]},
 {"publisher":{"kind":"Google","claims":{"x":1},"email":"a@b.example"},"attestations":[{}],"new":1}],"more":[]}"#;

fn github() -> Publisher {
    Publisher::GitHub { repository: "o/r".into(), workflow: "release.yml".into(), environment: None }
}

#[test]
fn attestations_are_kept_as_they_were_received_with_their_publisher() {
    let found = provenance(SOUND.as_bytes()).expect("sound");
    let found: Vec<_> =
        found.into_iter().map(|a| (a.publisher, String::from_utf8(a.attestation).expect("text"))).collect();
    let google = Publisher::Google { email: "a@b.example".into() };
    assert_eq!(
        found,
        [(github(), r#"{ "version" : 1 }"#.into()), (github(), r#"{"b":2}"#.into()), (google, "{}".into())]
    );
}

#[test]
fn an_object_of_another_shape_is_refused() {
    let problem = |old: &str, new: &str| {
        assert!(SOUND.contains(old), "{old}");
        provenance(SOUND.replacen(old, new, 1).as_bytes()).map_err(placeless).expect_err("changed")
    };
    for (old, new, expected) in [
        ("{\"version\":1", "{\"version\":2", "its version is 2, and 1 is known"),
        ("{\"version\":1", "{\"version\":\"1\"", "invalid type: string \"1\", expected u64"),
        ("{\"version\":1,", "{", "missing field `version`"),
        ("[{ \"version\" : 1 },{\"b\":2}]", "[]", "a bundle lists no attestation"),
        ("[{}]", "[null]", "an attestation is no object"),
        ("[{}]", "[\"{}\"]", "an attestation is no object"),
        ("\"workflow\":", "\"Workflow\":", "publisher: missing field `workflow`"),
        ("\"o/r\"", "null", "publisher: invalid type: null, expected a string"),
        (
            "{\"publisher\":{\"kind\":\"Google\",\"claims\":{\"x\":1},\"email\":\"a@b.example\"},\"attestations\":[{}],\"new\":1}",
            "[{\"kind\":\"Google\",\"email\":\"a@b.example\"},[{}]]",
            "invalid type: sequence, expected an object",
        ),
        (
            "{\"kind\":\"Google\",\"claims\":{\"x\":1},\"email\":\"a@b.example\"}",
            "[\"Google\"]",
            "publisher: invalid type: sequence, expected an object",
        ),
        ("\"kind\":\"GitHub\",", "", "publisher: missing field `kind`"),
        ("\"kind\":\"Google\"", "\"kind\":\"CircleCI\"", "publisher: missing field `project_id`"),
        ("\"kind\":\"Google\"", "\"kind\":\"GitLab\"", "publisher: missing field `repository`"),
    ] {
        assert_eq!(problem(old, new), malformed(expected), "{new}");
    }
    for (old, new, key) in [
        ("\"b\":2", "\"b\":2,\"b\":2", "b"),
        ("\"x\":1", "\"x\":1,\"\\u0078\":1", "x"),
        ("\"version\":1,", "\"version\":1,\"version\":1,", "version"),
        ("\"publisher\":", "\"publisher\":{},\"publisher\":", "publisher"),
    ] {
        assert_eq!(problem(old, new), DocumentError::DuplicateKey { key: key.into() }, "{new}");
    }
    let empty = provenance(br#"{"version":1,"attestation_bundles":[]}"#);
    assert_eq!(empty, Err(malformed("it lists no bundle")));
    assert_eq!(
        provenance(b"null").map_err(placeless),
        Err(malformed("invalid type: null, expected an object"))
    );
}

#[test]
fn the_number_of_bundles_and_attestations_is_bounded() {
    let list = |bundles: usize, attestations: usize| {
        let attestations = vec!["{}"; attestations].join(",");
        let bundle = format!(r#"{{"publisher":{{"kind":"New"}},"attestations":[{attestations}]}}"#);
        let bundles = vec![bundle.as_str(); bundles].join(",");
        provenance(format!(r#"{{"version":1,"attestation_bundles":[{bundles}]}}"#).as_bytes())
            .map(|found| found.len())
    };
    let limit = |problem: &str| Err(DocumentError::Limit { problem: problem.to_owned() });
    assert_eq!(list(16, 4), Ok(64));
    assert_eq!(list(17, 1), limit("17 bundles, of 16 at most"));
    assert_eq!(list(13, 5), limit("65 attestations, of 64 at most"));
    let long = SOUND.replace("release.yml", &"a".repeat(16 * 1024));
    let problem = provenance(long.as_bytes()).expect_err("too long");
    assert_eq!(
        problem,
        DocumentError::Limit { problem: "16465 bytes in a publisher, of 16384 at most".into() }
    );
}

#[test]
fn documents_are_asked_for_below_the_provenance_address() {
    let version = Version::new("1!4.0.0+x").expect("plain");
    let found = path(&package("a-b"), &version, &file("a_b-1!4.0.0+x.tar.gz"));
    assert_eq!(found.path, "integrity/a-b/1%214.0.0%2Bx/a_b-1%214.0.0%2Bx.tar.gz/provenance");
    assert_eq!(found.accept, "application/vnd.pypi.integrity.v1+json");
}

#[test]
fn a_subject_says_what_the_file_name_says() {
    let matches = |stored: &str, subject: &str| subject_matches(&package("foo-bar"), &file(stored), subject);
    for (stored, subject) in [
        ("foo_bar-1.0.tar.gz", "Foo.Bar-1.0.0.tar.gz"),
        ("foo-bar-1.0.zip", "foo_bar-1.0.zip"),
        ("foo_bar-1.0-py3-none-any.whl", "Foo_Bar-1.0.0-py3-none-any.whl"),
        ("foo_bar-1.0-py2.py3-none-any.whl", "foo_bar-1.0-PY3.py2-none-any.whl"),
        ("foo_bar-1.0-1a-py3-none-any.whl", "foo_bar-1.0-01a-py3-none-any.whl"),
    ] {
        assert!(matches(stored, stored), "{stored}");
        assert!(matches(stored, subject), "{subject}");
    }
    let (wheel, sdist) = ("foo_bar-1.0-1-cp39-abi3-linux_x86_64.whl", "foo_bar-1.0.tar.gz");
    for (stored, subject) in [
        (wheel, "foo_bar-1.1-1-cp39-abi3-linux_x86_64.whl"),
        (wheel, "foo_baz-1.0-1-cp39-abi3-linux_x86_64.whl"),
        (wheel, "foo_bar-1.0-2-cp39-abi3-linux_x86_64.whl"),
        (wheel, "foo_bar-1.0-cp39-abi3-linux_x86_64.whl"),
        (wheel, "foo_bar-1.0-1-cp310-abi3-linux_x86_64.whl"),
        (wheel, "foo_bar-1.0-1-cp39-none-linux_x86_64.whl"),
        (wheel, "foo_bar-1.0-1-cp39-abi3-macosx_11_0_arm64.whl"),
        (wheel, "foo_bar-1.0-1-cp39.cp310-abi3-linux_x86_64.whl"),
        (wheel, sdist),
        (sdist, wheel),
        (sdist, "foo_bar-1.0.zip"),
        (sdist, "foo_bar-1.0.tar.gz.metadata"),
        (sdist, "foo_bar-1.0rc1.tar.gz"),
        (sdist, "../foo_bar-1.0.tar.gz"),
        (sdist, "foo_bar-1.0.tar.gz\n"),
        (sdist, "ſoo_bar-1.0.tar.gz"),
        (sdist, ""),
        // what is no distribution equals nothing, not even itself
        ("foo_bar-1.0.egg", "foo_bar-1.0.egg"),
        ("foo_bar-1.0.tar.gz.metadata", "foo_bar-1.0.tar.gz.metadata"),
    ] {
        assert!(!matches(stored, subject), "{stored} {subject}");
    }
    assert!(is_sidecar(&file("foo_bar-1.0-py3-none-any.whl.metadata")));
    assert!(!is_sidecar(&file("foo_bar-1.0-py3-none-any.whl")));
}

fn certificate() -> CertificateFields<'static> {
    CertificateFields {
        san: "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1",
        issuer: Some("https://token.actions.githubusercontent.com"),
        source_repository: Some("https://github.com/o/r"),
        source_digest: Some("0123"),
        source_ref: Some("refs/tags/v1"),
        build_config: Some("https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1"),
        environment: Some("release"),
        build_signer: None,
    }
}

/// The field that a publisher and a certificate differ in.
fn field(publisher: &Publisher, certificate: &CertificateFields<'_>) -> Option<&'static str> {
    match publisher_problem(publisher, certificate) {
        Some(PublisherProblem::Differs { field, .. }) => Some(field),
        Some(other @ PublisherProblem::UnknownKind { .. }) => panic!("{other}"),
        None => None,
    }
}

#[test]
fn a_github_publisher_is_compared_with_the_certificate() {
    let sound = certificate();
    let by_commit = "https://github.com/o/r/.github/workflows/release.yml@0123";
    let fork = "https://github.com/o2/r";
    for (changed, expected) in [
        (sound, None),
        (CertificateFields { build_config: Some(by_commit), ..sound }, None),
        (CertificateFields { environment: None, ..sound }, None),
        (
            CertificateFields {
                issuer: Some("https://token.actions.githubusercontent.com.evil.example"),
                ..sound
            },
            Some("issuer"),
        ),
        (CertificateFields { issuer: None, ..sound }, Some("issuer")),
        (CertificateFields { source_repository: Some(fork), ..sound }, Some("source repository")),
        (
            CertificateFields { source_repository: Some("https://github.com/O/r"), ..sound },
            Some("source repository"),
        ),
        (CertificateFields { source_ref: Some("refs/tags/v2"), ..sound }, Some("workflow")),
        (CertificateFields { source_ref: None, source_digest: None, ..sound }, Some("workflow")),
        (CertificateFields { build_config: None, ..sound }, Some("workflow")),
    ] {
        assert_eq!(field(&github(), &changed), expected, "{changed:?}");
    }
    let with = |workflow: &str, environment: Option<&str>| Publisher::GitHub {
        repository: "o/r".into(),
        workflow: workflow.into(),
        environment: environment.map(str::to_owned),
    };
    assert_eq!(field(&with("release.yml", Some("release")), &sound), None);
    assert_eq!(field(&with("release.yml", Some("staging")), &sound), Some("environment"));
    assert_eq!(field(&with("test.yml", None), &sound), Some("workflow"));
    let problem = publisher_problem(&with("test.yml", None), &sound).expect("another workflow");
    assert_eq!(
        problem.to_string(),
        "by the publisher that the index names, the certificate's workflow is \"https://github.com/o/r/.github/workflows/test.yml@refs/tags/v1\"; \
         it is \"https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1\""
    );
}

#[test]
fn other_publishers_are_compared_with_the_certificate() {
    let gitlab = Publisher::GitLab {
        repository: "g/s/p".into(),
        workflow_filepath: ".gitlab-ci.yml".into(),
        environment: None,
    };
    let sound = CertificateFields {
        issuer: Some("https://gitlab.com"),
        source_repository: Some("https://gitlab.com/g/s/p"),
        source_ref: Some("refs/heads/main"),
        source_digest: Some("01"),
        build_config: Some("https://gitlab.com/g/s/p//.gitlab-ci.yml@refs/heads/main"),
        ..CertificateFields::default()
    };
    let one_slash = "https://gitlab.com/g/s/p/.gitlab-ci.yml@refs/heads/main";
    assert_eq!(field(&gitlab, &sound), None);
    assert_eq!(
        field(&gitlab, &CertificateFields { build_config: Some(one_slash), ..sound }),
        Some("workflow")
    );
    assert_eq!(field(&gitlab, &certificate()), Some("issuer"));

    let google = Publisher::Google { email: "a@b.example".into() };
    let sound = CertificateFields {
        san: "a@b.example",
        issuer: Some("https://accounts.google.com"),
        ..Default::default()
    };
    assert_eq!(field(&google, &sound), None);
    assert_eq!(field(&google, &CertificateFields { san: "aa@b.example", ..sound }), Some("subject"));
    assert_eq!(
        field(&google, &CertificateFields { issuer: Some("https://a.example"), ..sound }),
        Some("issuer")
    );

    let circleci = |origin: Option<&str>, git_ref: Option<&str>| Publisher::CircleCi {
        project_id: "p".into(),
        pipeline_definition_id: "d".into(),
        vcs_origin: origin.map(str::to_owned),
        vcs_ref: git_ref.map(str::to_owned),
    };
    let sound = CertificateFields {
        issuer: Some("https://oidc.circleci.com"),
        build_signer: Some("https://circleci.com/api/v2/projects/p/pipeline-definitions/d"),
        source_repository: Some("github.com/o/r"),
        source_ref: Some("refs/heads/main"),
        ..CertificateFields::default()
    };
    assert_eq!(field(&circleci(None, None), &sound), None);
    assert_eq!(field(&circleci(Some("github.com/o/r"), Some("refs/heads/main")), &sound), None);
    assert_eq!(field(&circleci(Some("github.com/o/x"), None), &sound), Some("source repository"));
    assert_eq!(field(&circleci(None, Some("refs/heads/x")), &sound), Some("ref"));
    assert_eq!(
        field(&circleci(None, None), &CertificateFields { build_signer: None, ..sound }),
        Some("build signer")
    );

    let unknown = publisher_problem(&Publisher::Other { kind: "New".into() }, &certificate());
    assert_eq!(unknown, Some(PublisherProblem::UnknownKind { kind: "New".into() }));
}
