//! Metadata that cannot be trusted to mean one thing: refused with the reason, and never put in the place of a good copy.

use touchstone_domain::Ecosystem;
use touchstone_testkit::{Registry, TestMirror, crate_file, npm_package, wheel};

use super::{PYPI_JSON, refusal, text, upstream};

const HTML: &str = "<html><body>Please sign in</body></html>";

/// Where a package's metadata is at the registry and at the mirror, and what must not be there: type, body, reason.
struct Case {
    upstream: &'static str,
    path: &'static str,
    content_type: &'static str,
    bodies: Vec<(&'static str, String, &'static str)>,
}

fn cases() -> [Case; 3] {
    [npm(), pypi(), cargo()]
}

fn npm() -> Case {
    let npm = "application/json";
    Case {
        upstream: "npm/left-pad",
        path: "npm/left-pad",
        content_type: npm,
        bodies: vec![
            ("text/html", HTML.into(), r#"the upstream sent \"text/html\" instead of application/json"#),
            (npm, HTML.into(), "metadata is malformed: the packument: expected value at line 1 column 1"),
            (npm, String::new(), "metadata is malformed: the packument: EOF while parsing"),
            (npm, "[]".into(), "metadata is malformed: the packument: invalid type"),
            (npm, r#"{"name":"left-pad","versions":{}"#.into(), "metadata is malformed: the packument: EOF"),
            (
                npm,
                r#"{"name":"right-pad","versions":{}}"#.into(),
                r#"is for \"right-pad\", not \"left-pad\""#,
            ),
            (npm, r#"{"versions":{}}"#.into(), r#"is for \"\", not \"left-pad\""#),
            (
                npm,
                r#"{"name":"left-pad","versions":{},"versions":{}}"#.into(),
                r#"the key \"versions\" is there twice"#,
            ),
            (
                npm,
                r#"{"name":"left-pad","versions":{"1.0.0":{},"1.0.0":{}}}"#.into(),
                r#"the version \"1.0.0\" is there twice"#,
            ),
            (npm, "[".repeat(200_000), "over a limit: it is nested deeper than 128"),
        ],
    }
}

fn pypi() -> Case {
    let file =
        r#"{"filename":"sample_project-4.0.0-py3-none-any.whl","url":"https://files.example/x","hashes":{}}"#;
    let project = |name: &str, version: &str, files: &str| {
        format!(r#"{{"meta":{{"api-version":"{version}"}},"name":"{name}","files":[{files}]}}"#)
    };
    Case {
        upstream: "pypi/simple/sample-project/",
        path: "pypi/simple/sample-project/",
        content_type: PYPI_JSON,
        bodies: vec![
            ("text/html", HTML.into(), "the page links to no distribution of sample-project"),
            ("image/png", HTML.into(), r#"the upstream sent \"image/png\" instead of"#),
            (PYPI_JSON, HTML.into(), "metadata is malformed: expected value at line 1 column 1"),
            (PYPI_JSON, project("other", "1.0", ""), r#"is for \"other\", not \"sample-project\""#),
            (PYPI_JSON, project("sample-project", "2.0", ""), r#"api-version \"2.0\" is not 1.x"#),
            (
                PYPI_JSON,
                project("sample-project", "1.0", &format!("{file},{file}")),
                "sample_project-4.0.0-py3-none-any.whl is listed twice",
            ),
            (
                PYPI_JSON,
                r#"{"meta":{"api-version":"1.0"},"name":"other","name":"sample-project","files":[]}"#.into(),
                "duplicate field `name`",
            ),
        ],
    }
}

fn cargo() -> Case {
    let line = |version: &str| {
        format!(
            r#"{{"name":"left_pad","vers":"{version}","deps":[],"cksum":"00","features":{{}},"yanked":false}}"#
        )
    };
    Case {
        upstream: "cargo/le/ft/left_pad",
        path: "cargo/le/ft/left_pad",
        content_type: "text/plain",
        bodies: vec![
            ("text/html", line("0.1.0"), r#"the upstream sent "text/html" instead of text/plain"#),
            ("text/plain", HTML.into(), "metadata is malformed: line 1: it is no JSON object"),
            ("text/plain", format!("{}\n{{\"name\"", line("0.1.0")), "metadata is malformed: line 2: EOF"),
            (
                "text/plain",
                format!("{}\n{}\n", line("0.1.0"), line("0.1.0")),
                "the version 0.1.0 is there twice",
            ),
            (
                "text/plain",
                line("0.1.0").replace("\"deps\"", "\"vers\":\"0.1.0\",\"deps\""),
                "line 1: duplicate field `vers`",
            ),
        ],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_document_is_refused_with_the_reason() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for case in cases() {
        for (content_type, body, reason) in case.bodies {
            registry.document(case.upstream, content_type, body);
            let (status, code, body) = refusal(mirror.get(case.path).await).await;
            assert_eq!((status, code.as_str()), (502, "upstream_broken"), "{reason}");
            let reason = if body.starts_with('{') { reason.to_owned() } else { reason.replace('\\', "") };
            assert!(body.contains(&reason), "{reason}: {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_document_never_takes_the_place_of_a_good_one() {
    let registry = Registry::start().await;
    let packages = [
        npm_package("left-pad", "1.3.0", &[], 10),
        wheel("sample-project", "4.0.0", &[], 10),
        crate_file("left_pad", "0.1.0", &[], 10),
    ];
    for package in packages {
        registry.publish(package);
    }
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let paths = ["left-pad", "simple/sample-project/", "le/ft/left_pad"];
    for ((ecosystem, path), case) in
        [Ecosystem::Npm, Ecosystem::Pypi, Ecosystem::Cargo].into_iter().zip(paths).zip(cases())
    {
        let url = registry.url(ecosystem).join(path).expect("an address");
        let good = text(mirror.get(case.path).await).await;
        let kept =
            async || mirror.store.document(ecosystem, url.as_str()).await.expect("an answer").expect("kept");
        let before = kept().await;
        for (content_type, body, reason) in case.bodies {
            registry.document(case.upstream, content_type, body);
            assert_eq!(text(mirror.get(case.path).await).await, good, "{reason}");
            assert_eq!(kept().await.document, before.document, "{reason}");
        }
        let artifact = mirror.get(match ecosystem {
            Ecosystem::Npm => "npm/left-pad/-/left-pad-1.3.0.tgz",
            Ecosystem::Pypi => "pypi/files/-/sample-project/sample_project-4.0.0-py3-none-any.whl",
            Ecosystem::Cargo | Ecosystem::Go => continue,
        });
        assert_eq!(artifact.await.status(), 200, "{}", case.path);
        let mended = text(mirror.get(case.path).await).await;
        assert_eq!(mended, good);
        assert!(registry.asked_for(case.path) > 2, "{}", case.content_type);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_config_json_refuses_the_download_and_a_good_one_outlives_it() {
    let registry = Registry::start().await;
    let packages: Vec<_> =
        ["0.1.0", "0.2.0"].iter().map(|version| crate_file("left_pad", version, &[], 10)).collect();
    for package in &packages {
        registry.publish(package.clone());
    }
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let path = |at: usize| {
        format!("cargo/crates/left_pad/{}/{}/download", packages[at].version, packages[at].sha256())
    };
    registry.document("cargo/config.json", "application/json", r#"{"api":"https://registry.example"}"#);
    let (status, code, body) = refusal(mirror.get(&path(0)).await).await;
    assert_eq!((status, code.as_str()), (502, "upstream_broken"));
    assert!(body.contains("config.json: missing field `dl`"), "{body}");
    let template = format!("{}dl/{{crate}}/{{version}}", registry.url(Ecosystem::Cargo));
    registry.document("cargo/config.json", "application/json", format!(r#"{{"dl":"{template}"}}"#));
    for (at, package) in packages.iter().enumerate() {
        assert_eq!(mirror.get(&path(at)).await.bytes().await.expect("a body"), package.bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_config_json_is_the_upstreams_fault_not_an_unknown_crate() {
    let registry = Registry::start().await;
    let package = crate_file("left_pad", "0.1.0", &[], 10);
    registry.publish(package.clone());
    let line = upstream(&registry, Ecosystem::Cargo, "le/ft/left_pad", "text/plain").await;
    registry.document("bare/le/ft/left_pad", "text/plain", line);
    let bare = registry.origin().join("bare/").expect("an address");
    let mirror = TestMirror::builder().upstream(Ecosystem::Cargo, bare).start().await;
    let path = format!("cargo/crates/left_pad/0.1.0/{}/download", package.sha256());
    let (status, code, body) = refusal(mirror.get(&path).await).await;
    assert_eq!((status, code.as_str()), (502, "upstream_broken"));
    assert!(body.contains("the upstream's config.json cannot be fetched: the upstream has none"), "{body}");
    let template = format!("{}dl/{{crate}}/{{version}}", registry.url(Ecosystem::Cargo));
    registry.document("bare/config.json", "application/json", format!(r#"{{"dl":"{template}"}}"#));
    assert_eq!(mirror.get(&path).await.status(), 200);
}
