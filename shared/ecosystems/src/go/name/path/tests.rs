use proptest::prelude::*;
use touchstone_domain::Ecosystem;

use super::*;

const FIRST: &str = "the first element has lower-case letters, digits, - and . only";
const CHARACTERS: &str = "letters, digits, and - . _ ~ only";
const DOT: &str = "no element starts or ends with a dot";
const DEVICE: &str = "an element is the name of a device of Windows";
const SHORT_NAME: &str = "an element looks like a short name of Windows";
const MAJOR: &str =
    "a last element of v and a number is /v2 or above, without zeros before it and without dots";
const GOPKG_MAJOR: &str = "a path below gopkg.in ends in .v and a number";

fn grammar(text: &str, rule: &'static str) -> NameError {
    NameError::Grammar { what: "package name", ecosystem: Ecosystem::Go, text: text.to_owned(), rule }
}

#[test]
fn each_rule_refuses_what_differs_in_one_thing() {
    for (good, bad, rule) in [
        ("example.com/a", "example/a", "the first element has no dot"),
        ("example.com", "localhost", "the first element has no dot"),
        ("example.com/A", "Example.com/a", FIRST),
        ("example.com/a_b", "exa_mple.com/a", FIRST),
        ("example.com/a~b", "exa~mple.com/a", FIRST),
        ("ex-ample.com/a", "-example.com/a", "it may not start with a dash"),
        ("example.com/-a", "--upload-pack=x", "it may not start with a dash"),
        ("example.com/a/b_C~d-e.f", "example.com/a@b", CHARACTERS),
        ("example.com/a", "example.com/a!", CHARACTERS),
        ("example.com/a", "example.com/a+b", CHARACTERS),
        ("example.com/a", "example.com/a:80", CHARACTERS),
        ("example.com/a", "example.com/(a)", CHARACTERS),
        ("example.com/a", "example.com:80/a", FIRST),
        ("example.com/a.b", "example.com/.b", DOT),
        ("example.com/a.b/c", "example.com/a./c", DOT),
        ("example.com/a", ".example.com/a", DOT),
        ("example.com/a", "example.com./a", DOT),
        ("example.com/a", "example.com/...", DOT),
        ("example.com/a..b", "example.com/a..", DOT),
        ("example.com/cons", "example.com/con", DEVICE),
        ("example.com/xnul", "example.com/NUL/x", DEVICE),
        ("example.com/x.aux", "example.com/Aux.x.go", DEVICE),
        ("example.com/com0", "example.com/com1", DEVICE),
        ("example.com/lpt10", "example.com/lPt9.x", DEVICE),
        ("conn.example/a", "con.example/a", DEVICE),
        ("example.com/a~", "example.com/a~1", SHORT_NAME),
        ("example.com/a~1b", "example.com/PROGRA~12", SHORT_NAME),
        ("example.com/a.b~1", "example.com/a~1.b", SHORT_NAME),
        ("example.com/a/v2", "example.com/a/v1", MAJOR),
        ("example.com/a/v10", "example.com/a/v02", MAJOR),
        ("example.com/a/v", "example.com/a/v0", MAJOR),
        ("example.com/a/v0/b", "example.com/a/v0.1", MAJOR),
        ("example.com/a/v2x", "example.com/a/v2.0", MAJOR),
        ("gopkg.in/yaml.v2", "gopkg.in/yaml", GOPKG_MAJOR),
        ("gopkg.in/yaml.v0", "gopkg.in/yaml.v00", GOPKG_MAJOR),
        ("gopkg.in/yaml.v1", "gopkg.in/yaml.v01", GOPKG_MAJOR),
        ("gopkg.in/user/yaml.v3", "gopkg.in/user/yaml/v3", GOPKG_MAJOR),
        ("gopkg.in/yaml.v2-unstable", "gopkg.in/yaml.v2-stable", GOPKG_MAJOR),
        ("gopkg.in/yaml.v2", "gopkg.in/yaml.v", GOPKG_MAJOR),
        ("gopkg.in/yaml.v2", "gopkg.in/yaml.v2.1", GOPKG_MAJOR),
        ("golang.org/toolchain", "golang.org/toolchain~1", SHORT_NAME),
    ] {
        assert_eq!(package(good).expect(good).as_str(), good);
        assert_eq!(package(bad), Err(grammar(bad, rule)), "{bad}");
    }
}

#[test]
fn what_no_ecosystem_takes_is_refused_first() {
    let what = "package name";
    let path = |text: &str| NameError::Path { what, text: text.to_owned() };
    for (bad, expected) in [
        ("", NameError::Empty { what }),
        ("example.com//a", path("example.com//a")),
        ("example.com/a/", path("example.com/a/")),
        ("/example.com/a", path("/example.com/a")),
        ("example.com/../a", path("example.com/../a")),
        ("example.com/./a", path("example.com/./a")),
        ("example.com/a;rm", NameError::Character { what, character: ';' }),
        ("example.com/a b", NameError::Character { what, character: ' ' }),
        ("example.com/\u{430}", NameError::Character { what, character: '\u{430}' }),
        ("example.com/\u{212a}", NameError::Character { what, character: '\u{212a}' }),
        ("example.com/\u{131}", NameError::Character { what, character: '\u{131}' }),
        ("example.com/a\u{202e}", NameError::Character { what, character: '\u{202e}' }),
        ("example.com/a\u{200b}", NameError::Character { what, character: '\u{200b}' }),
        ("example.com/e\u{301}", NameError::Character { what, character: '\u{301}' }),
    ] {
        assert_eq!(package(bad), Err(expected), "{bad}");
    }
    let long = format!("example.com/{}", "a".repeat(202));
    assert!(package(&long).is_ok());
    assert_eq!(package(&format!("{long}a")), Err(NameError::TooLong { what, limit: 214 }));
}

#[test]
fn a_path_says_its_major_version() {
    for (path, expected) in [
        ("example.com/a", PathMajor::Unsaid),
        ("example.com/v2/a", PathMajor::Unsaid),
        ("example.com/a.v2", PathMajor::Unsaid),
        ("v2.example", PathMajor::Unsaid),
        ("example.com/v2", PathMajor::Element("2")),
        ("example.com/a/v10", PathMajor::Element("10")),
        ("gopkg.in/a.v0", PathMajor::Gopkg("0")),
        ("gopkg.in/a.v12-unstable", PathMajor::Gopkg("12")),
    ] {
        assert_eq!(major(path), Ok(expected), "{path}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_grammar(text in "\\PC{0,40}") {
        if let Ok(name) = package(&text) {
            prop_assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn no_path_like_text_panics(text in "([a-z0-9.~-]{1,4}|gopkg\\.in)(/[a-zA-Z0-9.~_-]{0,5}){0,3}(/v[0-9.]{0,3}|\\.v[0-9]{0,2})?(-unstable)?") {
        let _ = package(&text);
        let _ = major(&text);
    }
}
