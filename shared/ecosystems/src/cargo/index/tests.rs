use proptest::prelude::*;

use super::*;

const CKSUM: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

fn package() -> PackageName {
    name::package("Inflector").expect("name")
}

fn key(version: &str) -> (Version, FileName) {
    let version = name::version(version).expect(version);
    let file = name::file("Inflector", &version).expect("file");
    (version, file)
}

fn line(version: &str) -> String {
    format!(
        r#"{{"name":"Inflector", "vers":"{version}","deps":[{{"name":"x","registry":null}}],"cksum":"{CKSUM}","features":{{}},"yanked":false,"v":9,"pubtime":"2024-01-02T03:04:05Z"}}"#
    )
}

fn parse(document: &str) -> Result<SparseIndex, IndexError> {
    SparseIndex::parse(&package(), "text/plain", &Bytes::copy_from_slice(document.as_bytes()))
}

fn render(index: &SparseIndex, amendments: &Amendments) -> String {
    let public_url = Url::parse("http://mirror.example/cargo/").expect("URL");
    let rendered = index.render(&IndexForm::CargoSparse, &public_url, amendments).expect("rendered");
    assert_eq!(rendered.content_type, "text/plain");
    String::from_utf8(rendered.body.concat()).expect("UTF-8")
}

fn refuse(version: &str) -> Amendments {
    Amendments::from([(key(version), Amendment::Refuse { reason: "no".into() })])
}

#[test]
fn a_version_is_located_with_its_checksum_and_without_a_link() {
    let index = parse(&format!("{}\r\n{}\n", line("1.0.0"), line("1.0.0+b"))).expect("index");
    let (version, file) = key("1.0.0+b");
    let located = index.locate(&version, &file).expect("listed");
    assert_eq!(located.claims, [Claim { field: ClaimField::CargoCksum, value: CKSUM.into() }]);
    assert_eq!((located.url.as_str(), &located.evidence[..]), ("", line("1.0.0+b").as_bytes()));
    assert_eq!(located.published_at, Some("2024-01-02T03:04:05Z".parse().expect("timestamp")));
    assert_eq!(index.locate(&version, &key("1.0.0").1), None);
    assert_eq!(
        index.locate(&version, &name::file("inflector", &version).expect("file")),
        None,
        "other spelling"
    );
    let claims = |cksum: &str| {
        let index = parse(&line("1.0.0").replace(&format!("\"{CKSUM}\""), cksum)).expect("index");
        let (version, file) = key("1.0.0");
        index.locate(&version, &file).expect("listed").claims.into_iter().map(|c| c.value).collect::<Vec<_>>()
    };
    assert_eq!(
        (claims("null"), claims("7"), claims("\"\"")),
        (vec![], vec!["7".into()], vec![String::new()])
    );
}

#[test]
fn lines_pass_through_and_refused_ones_are_yanked() {
    let document = format!("{}\n{}", line("1.0.0"), line("1.1.0"));
    let index = parse(&document).expect("index");
    assert_eq!(render(&index, &Amendments::new()), document);
    let yanked = line("1.1.0").replace("\"yanked\":false", "\"yanked\":true");
    assert_eq!(render(&index, &refuse("1.1.0")), format!("{}\n{yanked}", line("1.0.0")));
    let without = line("1.1.0").replace("\"yanked\":false,", "");
    let index = parse(&format!("{without} \n")).expect("index");
    let expected = format!("{},\"yanked\":true}} \n", &without[..without.len() - 1]);
    assert_eq!(render(&index, &refuse("1.1.0")), expected);
}

#[test]
fn a_restored_line_stands_in_the_place_of_the_new_one() {
    let document = format!("{}\n{}\n", line("1.0.0"), line("1.1.0"));
    let index = parse(&document.replacen(CKSUM, &"0".repeat(64), 1)).expect("index");
    let restore =
        |entry: String| Amendments::from([(key("1.0.0"), Amendment::Restore { entry: entry.into() })]);
    assert_eq!(render(&index, &restore(line("1.0.0"))), document);
    let useless =
        [line("1.1.0"), String::new(), "{}".into(), format!("{}\n{}", line("1.0.0"), line("1.0.0"))];
    for useless in useless {
        assert_eq!(render(&index, &restore(useless)), render(&index, &refuse("1.0.0")));
    }
}

#[test]
fn lines_of_others_are_left_out() {
    for other in [
        line("1.0.1").replace("Inflector", "inflectorr"),
        line("1.0.1").replace("Inflector", "In-flector"),
        line("1.0.1").replace("Inflector", "../x"),
        line("1.0"),
        line("v1.0.1"),
        String::new(),
    ] {
        for document in [format!("{}\n{other}\n", line("1.0.0")), format!("{other}\n{}\n", line("1.0.0"))] {
            let index = parse(&document).expect("index");
            assert_eq!(index.entries().len(), 1, "{other}");
            assert_eq!(render(&index, &Amendments::new()), format!("{}\n", line("1.0.0")), "{other}");
        }
    }
    assert_eq!(parse("").expect("index").entries(), []);
}

#[test]
fn what_could_mean_two_things_is_refused() {
    for (document, expected) in [
        (format!("{}\n{}", line("1.0.0"), line("1.0.0")), "the version 1.0.0 is there twice"),
        (line("1.0.0").replace("\"v\":9", "\"cksum\":\"x\""), "line 1: duplicate field `cksum`"),
        (line("1.0.0").replace("\"v\":9", "\"yanked\":true"), "line 1: duplicate field `yanked`"),
        (line("1.0.0").replace("\"v\":9", "\"vers\":\"2.0.0\""), "line 1: duplicate field `vers`"),
        (line("1.0.0").replace("\"v\":9", "\"n\\u0061me\":\"x\""), "line 1: duplicate field `name`"),
        (format!("{}\n[\"Inflector\",\"1.0.1\"]", line("1.0.0")), "line 2: it is no JSON object"),
        ("<html>".to_owned(), "line 1: it is no JSON object"),
        (format!("{}x", line("1.0.0")), "line 1: trailing characters"),
        (line("1.0.0").replace("\"Inflector\"", "7"), "line 1: invalid type"),
    ] {
        let found = parse(&document).expect_err(&document).to_string();
        assert!(found.starts_with(&format!("the upstream's metadata is malformed: {expected}")), "{found}");
    }
}

#[test]
fn size_depth_and_media_type_are_bounded() {
    let deep = line("1.0.0").replace("\"v\":9", &format!("\"v\":{}{}", "[".repeat(500), "]".repeat(500)));
    let limit = |problem: &str| IndexError::Limit { problem: problem.to_owned() };
    assert_eq!(parse(&deep).expect_err("deep"), limit("it is nested deeper than 128"));
    assert_eq!(parse(&"\n".repeat(LINES_MAX + 1)).expect_err("long"), limit("more than 100000 lines"));
    let of = |content_type| SparseIndex::parse(&package(), content_type, &Bytes::from(line("1.0.0"))).err();
    let html = IndexError::MediaType { expected: "text/plain", found: "Text/HTML".into() };
    assert_eq!(of("Text/HTML; charset=utf-8"), Some(html));
    for accepted in ["text/plain", "", "application/octet-stream", "application/json"] {
        assert_eq!(of(accepted), None);
    }
}

proptest! {
    #[test]
    fn no_document_panics(at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut document = format!("{}\n{}\n", line("1.0.0"), line("2.0.0")).into_bytes();
        let at = at.index(document.len());
        document[at] = byte;
        document.truncate(if cut { at } else { document.len() });
        if let Ok(index) = SparseIndex::parse(&package(), "text/plain", &document.into()) {
            let public_url = Url::parse("http://mirror.example/cargo/").expect("URL");
            let rendered = index.render(&IndexForm::CargoSparse, &public_url, &refuse("1.0.0")).expect("rendered");
            for line in rendered.body.concat().split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                prop_assert!(serde_json::from_slice::<&RawValue>(line).is_ok());
            }
        }
    }
}
