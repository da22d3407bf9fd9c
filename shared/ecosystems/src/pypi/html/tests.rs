use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use touchstone_domain::ClaimField;

use super::super::{
    index::{Project, parse},
    samples::*,
};
use crate::{Amendments, Index as _, IndexError, IndexForm};

#[test]
fn an_index_in_html_is_read_into_the_same_model() {
    let page = format!(
        r#"<!DOCTYPE html><html><head><META name="pypi:repository-version" content="1.0"/><script>"<a href='foo-9.tar.gz'>"</script></head>
<body><!-- <a href="foo-8.tar.gz">no</a> --><a href="../">Parent</a>
<a class=x href='../../packages/{WHEEL}#sha256={A}' data-requires-python="&gt;=3.9&#44;&lt;4" data-dist-info-metadata="sha256={B}" data-provenance="p&amp;q">any text</a>
<A HREF=foo%2D1.0.tar.gz data-yanked>x<br><a href="https://f.example/foo-2.0.zip?token=1#md5=00&egg=x" data-yanked="a &quot;reason&quot;" data-core-metadata=true>
<a href="bar-1.0.tar.gz">other</a> <a name="x">no link</a></body></html>"#
    );
    let project = html(&page).expect("an index");
    let files: Vec<&str> = project.entries().iter().map(|e| e.file.as_str()).collect();
    assert_eq!(files, [WHEEL, SDIST, "foo-2.0.zip"]);
    let wheel = locate(&project, WHEEL).expect("listed");
    assert_eq!(wheel.url, format!("../../packages/{WHEEL}"));
    let (a, b) = (format!("sha256={A}"), format!("sha256={B}"));
    assert_eq!(
        values(&wheel),
        [(ClaimField::PypiHash, a.as_str()), (ClaimField::PypiCoreMetadata, b.as_str())]
    );
    assert_eq!(
        locate(&project, &format!("{WHEEL}.metadata")).expect("offered").url,
        format!("../../packages/{WHEEL}.metadata")
    );
    let json: Value =
        serde_json::from_str(&shown(&project, &IndexForm::PypiJson, &Amendments::new())).expect("JSON");
    assert_eq!(json["meta"]["api-version"], "1.0");
    assert_eq!(json["files"][0]["requires-python"], ">=3.9,<4");
    assert_eq!(
        json["files"][0]["provenance"],
        format!("https://mirror.example/pypi/integrity/foo/1.0/{WHEEL}/provenance")
    );
    assert_eq!(json["files"][1]["yanked"], true);
    assert_eq!(json["files"][2]["yanked"], "a \"reason\"");
    assert_eq!(json["files"][2]["core-metadata"], false);
    assert_eq!(
        json["files"][2]["hashes"]["md5"], "00&egg=x",
        "passed on as it came, and malformed as a claim"
    );
    // what we write, we read the same
    let again = html(&shown(&project, &IndexForm::PypiHtml, &Amendments::new())).expect("our own page");
    assert_eq!(again.entries(), project.entries());
    let claims = |p: &Project| {
        p.entries().iter().map(|e| p.locate(&e.version, &e.file).expect("listed").claims).collect::<Vec<_>>()
    };
    assert_eq!(claims(&again), claims(&project));
}

#[test]
fn a_page_that_is_no_index_is_refused() {
    let nothing = "the page links to no distribution of foo";
    for (page, expected) in [
        ("", nothing),
        ("<html><a href='https://portal.example/login'>Sign in</a>", nothing),
        ("<a href='bar-1.0.tar.gz'>", nothing),
        (
            "<base href='https://x.example/'><a href='foo-1.0.tar.gz'>",
            "a <base> element would change every link",
        ),
        ("<a href='foo-1.0.tar.gz' href='foo-2.0.tar.gz'>", "an attribute comes twice in one tag"),
        ("<meta name='pypi:repository-version' content='2.0'>", "repository version \"2.0\" is not 1.x"),
        ("<a href='a/foo-1.0.tar.gz'><a href='b/foo-1.0.tar.gz'>", "foo-1.0.tar.gz is listed twice"),
    ] {
        assert_eq!(problem(html(page)), expected, "{page}");
    }
    assert!(matches!(
        parse(&foo(), "text/html", &Bytes::from_static(b"<a href='foo-1.0.tar.gz'>\xff")),
        Err(IndexError::Malformed { .. })
    ));
    let quarantined = html("<meta name='pypi:project-status' content='quarantined'>").expect("an index");
    assert_eq!(quarantined.entries(), []);
}

proptest! {
    #[test]
    fn no_page_makes_it_panic(page in "(<(a|meta|script|!--)? ?(href|name|content)?=?['\"]?[a-z.#&;%=<>-]{0,12}['\"]?>?){0,12}") {
        let _ = html(&page);
    }
}
