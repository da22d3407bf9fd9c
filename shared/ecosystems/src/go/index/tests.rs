use proptest::prelude::*;

use super::*;

fn parse(document: &str) -> Result<VersionList, IndexError> {
    parse_as("text/plain; charset=UTF-8", document.as_bytes())
}

fn parse_as(content_type: &str, document: &[u8]) -> Result<VersionList, IndexError> {
    VersionList::parse(&name::package("example.com/a").expect("path"), content_type, document)
}

fn render(list: &VersionList, amendments: &Amendments) -> String {
    let public_url = Url::parse("http://mirror.example/go/").expect("URL");
    let rendered = list.render(&IndexForm::GoList, &public_url, amendments).expect("rendered");
    assert_eq!(rendered.content_type, "text/plain; charset=utf-8");
    String::from_utf8(rendered.body.concat()).expect("UTF-8")
}

fn amend(version: &str, kind: FileKind, amendment: Amendment) -> Amendments {
    let version = name::version(version).expect(version);
    let file = name::file(&version, kind).expect("file");
    Amendments::from([((version, file), amendment)])
}

#[test]
fn versions_are_listed_in_the_order_of_the_upstream_each_as_its_zip() {
    let list = parse("v1.1.0\nv1.0.0-RC1\n\nv2.0.0+incompatible\n").expect("list");
    let entries: Vec<_> = list.entries().iter().map(|e| (e.version.as_str(), e.file.as_str())).collect();
    assert_eq!(
        entries,
        [
            ("v1.1.0", "v1.1.0.zip"),
            ("v1.0.0-RC1", "v1.0.0-RC1.zip"),
            ("v2.0.0+incompatible", "v2.0.0+incompatible.zip")
        ]
    );
    assert_eq!((list.entries()[0].published_at, list.entries()[0].attested), (None, false));
    assert_eq!(render(&list, &Amendments::new()), "v1.1.0\nv1.0.0-RC1\nv2.0.0+incompatible\n");
    let entry = &list.entries()[0];
    assert_eq!(list.locate(&entry.version, &entry.file), None);
}

#[test]
fn what_is_no_tagged_version_of_the_module_is_left_out() {
    for other in [
        "v0.0.0-20240102030405-abcdefabcdef",
        "v1.0.1-0.20240102030405-abcdefabcdef",
        "v0.0.0-20241302030405-abcdefabcdef",
        "v2.0.0",
        "v1.0.0+incompatible",
        "v1.0.0+meta",
        "v1.0",
        "1.0.0",
        "master",
        "../v1.0.1",
        "v1.0.1;rm",
        "example.com/a v1.0.1",
        "v1.0.0",
        "\u{feff}v1.0.1",
        "",
        " \t",
    ] {
        for document in [format!("v1.0.0\n{other}\n"), format!("v1.0.0\r\n{other}")] {
            let list = parse(&document).expect("list");
            assert_eq!(render(&list, &Amendments::new()), "v1.0.0\n", "{other}");
        }
    }
    let list = parse_as("", b"\xff\xfe\nv1.0.0 2024-01-02T03:04:05Z\n").expect("list");
    assert_eq!(render(&list, &Amendments::new()), "v1.0.0\n");
}

#[test]
fn a_version_is_hidden_when_one_of_its_files_is_refused() {
    let list = parse("v1.0.0\nv1.1.0\n").expect("list");
    let refuse = || Amendment::Refuse { reason: "no".to_owned() };
    for kind in [FileKind::Zip, FileKind::Mod] {
        assert_eq!(render(&list, &amend("v1.1.0", kind, refuse())), "v1.0.0\n");
    }
    assert_eq!(render(&list, &amend("v1.2.0", FileKind::Zip, refuse())), "v1.0.0\nv1.1.0\n");
    let restore = Amendment::Restore { entry: Bytes::from("v9.9.9") };
    assert_eq!(render(&list, &amend("v1.1.0", FileKind::Zip, restore)), "v1.0.0\nv1.1.0\n");
    let one = parse("v1.0.0").expect("list");
    assert_eq!(render(&one, &amend("v1.0.0", FileKind::Mod, refuse())), "");
}

#[test]
fn a_module_without_tags_has_an_empty_list() {
    for document in ["", "\n", "v0.0.0-20240102030405-abcdefabcdef\n"] {
        let list = parse(document).expect("list");
        assert_eq!((list.entries(), render(&list, &Amendments::new()).as_str()), (&[][..], ""));
    }
    let public_url = Url::parse("http://mirror.example/go/").expect("URL");
    let list = parse("v1.0.0").expect("list");
    assert_eq!(list.render(&IndexForm::CargoSparse, &public_url, &Amendments::new()), None);
}

#[test]
fn a_page_is_no_list() {
    for accepted in ["text/plain", "TEXT/PLAIN; charset=utf-8", "application/octet-stream", ""] {
        assert!(parse_as(accepted, b"v1.0.0\n").is_ok(), "{accepted}");
    }
    for refused in ["text/html; charset=utf-8", "application/json", "text/plainer"] {
        let found = refused.split(';').next().expect("type").to_owned();
        let expected = IndexError::MediaType { expected: "text/plain", found };
        assert_eq!(parse_as(refused, b"v1.0.0\n").err(), Some(expected));
    }
    let page = IndexError::Malformed { problem: "it is a page, not a list of versions".to_owned() };
    assert_eq!(parse("\n <!doctype html>\nv1.0.0\n").err(), Some(page));
}

#[test]
fn the_number_of_lines_is_bounded() {
    assert!(parse(&"\n".repeat(LINES_MAX)).is_ok());
    let limit = IndexError::Limit { problem: "more than 100000 lines".to_owned() };
    assert_eq!(parse(&"\n".repeat(LINES_MAX + 1)).err(), Some(limit));
}

proptest! {
    #[test]
    fn no_document_panics(document in proptest::collection::vec(any::<u8>(), 0..60), at in any::<proptest::sample::Index>()) {
        let mut list = b"v1.0.0\nv1.1.0-rc.1\nv0.0.0-20240102030405-abcdefabcdef\n".to_vec();
        let at = at.index(list.len());
        list.splice(at..at, document);
        if let Ok(parsed) = parse_as("text/plain", &list) {
            let rendered = render(&parsed, &Amendments::new());
            let again = parse(&rendered).expect("our own list");
            prop_assert_eq!(again.entries(), parsed.entries());
        }
    }
}
