//! What is listed: the upstream's words, with links that lead to the mirror.

use touchstone_domain::Ecosystem;
use touchstone_testkit::{Registry, TestMirror, crate_file, npm_package, sdist, wheel};

use super::{NPM_ABBREVIATED, PYPI_HTML_V1, PYPI_JSON, header, json, path_of, refusal, text, upstream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packument_is_the_upstreams_byte_for_byte_but_for_its_links() {
    let registry = Registry::start().await;
    let old = npm_package("left-pad", "1.2.0", &[], 10);
    let new = npm_package("left-pad", "1.3.0", &[("is-odd", "^3.0.0")], 10);
    registry.publish(old.clone());
    registry.publish(new.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let root = mirror.url().join("npm/").expect("a path");

    let theirs = upstream(&registry, Ecosystem::Npm, "left-pad", "application/json").await;
    let full = mirror.get("npm/left-pad").await;
    assert_eq!(header(&full, "content-type"), "application/json");
    let ours = text(full).await;
    assert_eq!(ours, theirs.replace(registry.url(Ecosystem::Npm).as_str(), root.as_str()));

    let full: serde_json::Value = serde_json::from_str(&ours).expect("JSON");
    for package in [&old, &new] {
        let dist = &full["versions"][&package.version]["dist"];
        assert_eq!(dist["integrity"], package.integrity());
        assert_eq!(dist["shasum"], package.shasum());
        let tarball = path_of(dist["tarball"].as_str().expect("an address"), &mirror.url());
        assert_eq!(mirror.get(&tarball).await.bytes().await.expect("a body"), package.bytes, "{tarball}");
    }

    let abbreviated = mirror.request("npm/left-pad").header("accept", NPM_ABBREVIATED).send().await;
    let abbreviated = abbreviated.expect("an answer");
    assert_eq!(header(&abbreviated, "content-type"), NPM_ABBREVIATED);
    assert_eq!(header(&abbreviated, "vary"), "accept, accept-encoding");
    let abbreviated = json(abbreviated).await;
    assert_eq!(abbreviated.get("time"), None);
    assert_eq!(abbreviated["dist-tags"], full["dist-tags"]);
    for version in ["1.2.0", "1.3.0"] {
        let (short, long) = (&abbreviated["versions"][version], &full["versions"][version]);
        assert_eq!(short["dist"], long["dist"]);
        assert_eq!(short["dependencies"], long["dependencies"]);
        assert_eq!(short.get("license"), None);
    }

    for reference in ["1.3.0", "latest"] {
        let manifest = json(mirror.get(&format!("npm/left-pad/{reference}")).await).await;
        assert_eq!(manifest, full["versions"]["1.3.0"], "{reference}");
    }
    for reference in ["1.4.0", "next"] {
        let (status, code, body) = refusal(mirror.get(&format!("npm/left-pad/{reference}")).await).await;
        assert_eq!((status, code.as_str()), (404, "unknown"), "{reference}");
        assert!(body.contains("this version or tag of npm package left-pad does not exist"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scoped_name_is_the_same_in_three_spellings() {
    let registry = Registry::start().await;
    let package = npm_package("@acme/tool", "1.0.0", &[], 10);
    registry.publish(package.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for spelling in ["@acme/tool", "@acme%2ftool", "%40acme%2Ftool"] {
        let packument = json(mirror.get(&format!("npm/{spelling}")).await).await;
        let tarball = packument["versions"]["1.0.0"]["dist"]["tarball"].as_str().expect("an address");
        assert_eq!(path_of(tarball, &mirror.url()), "npm/@acme/tool/-/tool-1.0.0.tgz");
        let answer = mirror.get(&format!("npm/{spelling}/-/tool-1.0.0.tgz")).await;
        assert_eq!(answer.bytes().await.expect("a body"), package.bytes, "{spelling}");
    }
    for (spelling, expected) in [("@acme%252ftool", (400, "malformed")), ("@acme/tool/x/y", (404, "unknown"))]
    {
        let (status, code, _) = refusal(mirror.get(&format!("npm/{spelling}")).await).await;
        assert_eq!((status, code.as_str()), expected, "{spelling}");
    }
    let (status, code, body) = refusal(mirror.get("npm/").await).await;
    assert_eq!((status, code.as_str()), (400, "malformed"));
    assert!(body.contains(" (reference /npm/)"), "what is asked for is named: {body}");
    assert!(registry.requests().iter().all(|r| !r.path.contains("%25")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simple_index_comes_in_the_form_that_is_accepted() {
    let registry = Registry::start().await;
    let wheel = wheel("sample-project", "4.0.0", &[], 10);
    let sdist = sdist("sample-project", "4.0.0");
    registry.publish(wheel.clone());
    registry.publish(sdist.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let ask =
        |accept: &'static str| mirror.request("pypi/simple/sample-project/").header("accept", accept).send();

    let answer = ask(PYPI_JSON).await.expect("an answer");
    assert_eq!(header(&answer, "content-type"), PYPI_JSON);
    let ours = text(answer).await;
    let mut theirs = upstream(&registry, Ecosystem::Pypi, "simple/sample-project/", PYPI_JSON).await;
    let mut links = vec![];
    for package in [&wheel, &sdist] {
        let link = format!("{}pypi/files/{}/sample-project/{}", mirror.url(), package.sha256(), package.file);
        theirs = theirs.replace(&format!("{}files/{}", registry.url(Ecosystem::Pypi), package.file), &link);
        links.push((link, package));
    }
    assert_eq!(ours, theirs);
    for (accept, expected) in [("text/html", "text/html"), ("*/*", "text/html"), (PYPI_HTML_V1, PYPI_HTML_V1)]
    {
        let answer = ask(accept).await.expect("an answer");
        assert_eq!(header(&answer, "content-type").split(';').next(), Some(expected));
        let page = text(answer).await;
        for (link, package) in &links {
            assert!(page.contains(&format!("href=\"{link}#sha256={}\"", package.sha256())), "{page}");
        }
        assert!(page.contains("data-requires-python=\"&gt;=3.8\""), "{page}");
    }
    for (link, package) in &links {
        let answer = mirror.get(&path_of(link, &mirror.url())).await;
        assert_eq!(answer.bytes().await.expect("a body"), package.bytes, "{link}");
    }
    let sidecar = mirror.get(&path_of(&format!("{}.metadata", links[0].0), &mirror.url())).await;
    assert_eq!(sidecar.bytes().await.expect("a body"), wheel.metadata.expect("a wheel has one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_is_redirected_to_its_normal_name() {
    let registry = Registry::start().await;
    registry.publish(wheel("sample-project", "4.0.0", &[], 10));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for spelling in ["Sample_Project/", "sample.project", "sample-project"] {
        let answer = mirror.get(&format!("pypi/simple/{spelling}")).await;
        assert_eq!(answer.status(), 301, "{spelling}");
        assert_eq!(header(&answer, "location"), "/pypi/simple/sample-project/", "{spelling}");
    }
    assert_eq!(registry.requests(), vec![]);
    assert_eq!(mirror.get("pypi/simple/sample-project/").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_html_index_of_an_old_upstream_is_served_in_every_form() {
    let registry = Registry::start().await;
    let wheel = wheel("sample-project", "4.0.0", &[], 10);
    registry.publish(wheel.clone());
    registry.set_html_only(true);
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let index = mirror.request("pypi/simple/sample-project/").header("accept", PYPI_JSON).send().await;
    let index = json(index.expect("an answer")).await;
    assert_eq!(index["name"], "sample-project");
    let file = &index["files"][0];
    assert_eq!(file["hashes"]["sha256"], wheel.sha256().to_string());
    assert_eq!(file["requires-python"], ">=3.8");
    let link = path_of(file["url"].as_str().expect("an address"), &mirror.url());
    assert_eq!(mirror.get(&link).await.bytes().await.expect("a body"), wheel.bytes);
    let page = text(mirror.get("pypi/simple/sample-project/").await).await;
    assert!(page.contains(&format!("/{link}#sha256={}", wheel.sha256())), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn index_lines_are_the_upstreams_and_config_json_leads_to_the_mirror() {
    let registry = Registry::start().await;
    let old = crate_file("left_pad", "0.1.0", &[], 10);
    let new = crate_file("left_pad", "0.2.0", &[("old_pad", "^1")], 10);
    registry.publish(old.clone());
    registry.publish(new.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;

    let answer = mirror.get("cargo/le/ft/left_pad").await;
    assert_eq!(header(&answer, "content-type"), "text/plain");
    assert_eq!(
        text(answer).await,
        upstream(&registry, Ecosystem::Cargo, "le/ft/left_pad", "text/plain").await
    );

    let config = json(mirror.get("cargo/config.json").await).await;
    assert_eq!(config.get("api"), None);
    let template = config["dl"].as_str().expect("a template");
    for package in [&old, &new] {
        let link = template
            .replace("{crate}", &package.name)
            .replace("{version}", &package.version)
            .replace("{sha256-checksum}", &package.sha256().to_string());
        let answer = mirror.get(&path_of(&link, &mirror.url())).await;
        assert_eq!(answer.bytes().await.expect("a body"), package.bytes, "{link}");
    }
    for wrong in ["cargo/left_pad", "cargo/le/xx/left_pad", "cargo/LE/FT/LEFT_PAD"] {
        let (status, code, _) = refusal(mirror.get(wrong).await).await;
        assert_eq!((status, code.as_str()), (404, "unknown"), "{wrong}");
    }
}
