use proptest::prelude::*;
use touchstone_domain::Ecosystem;

use super::*;
use crate::go::name::package;

const SEMANTIC: &str = "it is not a canonical semantic version behind a v";
const INCOMPATIBLE_RULE: &str = "+incompatible is for v2 and above";
const TIME: &str = "the time of a pseudo-version is yyyymmddhhmmss";
const NO_MAJOR: &str = "a module path without a major version has v0 and v1 only";
const OTHER_MAJOR: &str = "the module path says another major version";
const NO_SUFFIX: &str = "+incompatible is for paths without a major version";
const TOOLCHAIN_RULE: &str = "a toolchain is v0.0.1-goVERSION.OS-ARCH";

fn grammar(what: &'static str, text: &str, rule: &'static str) -> NameError {
    NameError::Grammar { what, ecosystem: Ecosystem::Go, text: text.to_owned(), rule }
}

#[test]
fn versions_are_canonical() {
    for (good, bad, rule) in [
        ("v1.2.3", "1.2.3", SEMANTIC),
        ("v1.2.3", "V1.2.3", SEMANTIC),
        ("v1.2.3", "vv1.2.3", SEMANTIC),
        ("v1.2.0", "v1.2", SEMANTIC),
        ("v1.0.0", "v1", SEMANTIC),
        ("v1.2.3", "v1.2.3.4", SEMANTIC),
        ("v1.2.3", "v01.2.3", SEMANTIC),
        ("v1.2.3-0", "v1.2.3-00", SEMANTIC),
        ("v1.2.3-rc.1", "v1.2.3-rc.01", SEMANTIC),
        ("v1.2.3-rc.1", "v1.2.3-rc..1", SEMANTIC),
        ("v1.2.3-RC-1", "v1.2.3-RC_1", SEMANTIC),
        ("v1.2.3", "v1.2.3-", SEMANTIC),
        ("v1.2.3", "v1.2.3+meta", SEMANTIC),
        ("v2.0.0+incompatible", "v2.0.0+Incompatible", SEMANTIC),
        ("v2.0.0+incompatible", "v2.0.0+incompatible.1", SEMANTIC),
        ("v2.0.0+incompatible", "v1.0.0+incompatible", INCOMPATIBLE_RULE),
        ("v1.0.0-latest", "latest", SEMANTIC),
        ("v0.0.0-0", "main", SEMANTIC),
        ("v18446744073709551615.0.0", "v18446744073709551616.0.0", SEMANTIC),
    ] {
        assert_eq!(version(good).expect(good).as_str(), good);
        assert_eq!(version(bad), Err(grammar("version", bad, rule)), "{bad}");
    }
    let what = "version";
    for (bad, expected) in [
        ("", NameError::Empty { what }),
        ("v1.0.0;rm", NameError::Character { what, character: ';' }),
        ("v1.0.0 ", NameError::Character { what, character: ' ' }),
        ("v1.0.\u{661}", NameError::Character { what, character: '\u{661}' }),
        ("v1.0.0/x", NameError::Path { what, text: "v1.0.0/x".to_owned() }),
        ("..", NameError::Path { what, text: "..".to_owned() }),
    ] {
        assert_eq!(version(bad), Err(expected), "{bad}");
    }
}

#[test]
fn pseudo_versions_have_three_forms_and_a_time_that_exists() {
    for (good, bad, rule) in [
        ("v0.0.0-20240229235959-abcdefabcdef", "v0.0.0-20230229235959-abcdefabcdef", TIME),
        ("v0.0.0-20240102030405-abcdefabcdef", "v0.0.0-20241302030405-abcdefabcdef", TIME),
        ("v0.0.0-20240102030405-abcdefabcdef", "v0.0.0-20240102240405-abcdefabcdef", TIME),
        ("v0.0.0-20240102030405-abcdefabcdef", "v0.0.0-20240102030460-abcdefabcdef", TIME),
        ("v0.0.0-20240102030405-abcdefabcdef", "v0.0.0-2024010203040-abcdefabcdef", TIME),
        ("v0.0.0-20240102030405-abcdefabcdef", "v0.0.0-202401020304055-abcdefabcdef", TIME),
        ("v3.0.0-20240102030405-abcdefabcdef", "v3.0.0-20240100030405-abcdefabcdef", TIME),
        ("v1.2.4-0.20240102030405-abcdefabcdef", "v1.2.4-0.20240002030405-abcdefabcdef", TIME),
        ("v1.2.0-rc.1.0.20240102030405-abcdefabcdef", "v1.2.0-rc.1.0.20240102036005-abcdefabcdef", TIME),
        (
            "v2.0.1-0.20240102030405-abcdefabcdef+incompatible",
            "v2.0.1-0.20240132030405-abcdefabcdef+incompatible",
            TIME,
        ),
        ("v0.0.0-20240102030405-000000000123", "v0.0.0-20249902030405-1", TIME),
    ] {
        assert!(is_pseudo(&version(good).expect(good)), "{good}");
        assert_eq!(version(bad), Err(grammar("version", bad, rule)), "{bad}");
    }
}

#[test]
fn a_pre_release_that_only_looks_like_a_commit_is_none() {
    for tag in [
        "v1.0.0",
        "v1.0.0-rc.1",
        "v0.0.1-20240102030405-abcdefabcdef",
        "v1.2.3-1.20240102030405-abcdefabcdef",
        "v1.2.3-0.20240102030405-abcdef.abcdef",
        "v0.0.0-20240102-beta",
        "v0.0.0-20240102-abcdef",
        "v0.0.0-x20240102030405-abcdefabcdef",
        "v0.0.0-20240102030405",
        "v0.0.0-20240102030405-",
        "v0.0.1-go1.21.0.linux-amd64",
    ] {
        assert!(!is_pseudo(&version(tag).expect(tag)), "{tag}");
    }
}

#[test]
fn a_version_fits_its_path() {
    for (path, good, bad, rule) in [
        ("example.com/a", "v1.9.0", "v2.0.0", NO_MAJOR),
        ("example.com/a", "v0.1.0", "v3.0.0-20240102030405-abcdefabcdef", NO_MAJOR),
        ("example.com/a", "v2.0.0+incompatible", "v2.0.0-rc.1", NO_MAJOR),
        ("example.com/a/v2", "v2.0.0", "v1.0.0", OTHER_MAJOR),
        ("example.com/a/v2", "v2.1.0-rc.1", "v3.0.0", OTHER_MAJOR),
        ("example.com/a/v2", "v2.0.0", "v2.0.0+incompatible", NO_SUFFIX),
        ("example.com/a/v20", "v20.0.0", "v2.0.0", OTHER_MAJOR),
        (
            "example.com/a/v2",
            "v2.0.0-20240102030405-abcdefabcdef",
            "v0.0.0-20240102030405-abcdefabcdef",
            OTHER_MAJOR,
        ),
        ("gopkg.in/yaml.v2", "v2.4.0", "v3.0.0", OTHER_MAJOR),
        ("gopkg.in/yaml.v2", "v2.4.0", "v2.4.0+incompatible", NO_SUFFIX),
        ("gopkg.in/yaml.v0", "v0.1.0", "v1.0.0", OTHER_MAJOR),
        ("gopkg.in/yaml.v2-unstable", "v2.4.0", "v1.0.0", OTHER_MAJOR),
        ("gopkg.in/check.v1", "v0.0.0-20161208181325-20d25e280405", "v0.0.0-rc.1", OTHER_MAJOR),
        ("gopkg.in/check.v1", "v1.0.0", "v0.0.1", OTHER_MAJOR),
        ("gopkg.in/check.v1", "v1.0.0", "v0.0.1-0.20161208181325-20d25e280405", OTHER_MAJOR),
        ("gopkg.in/check.v2", "v2.0.0", "v0.0.0-20161208181325-20d25e280405", OTHER_MAJOR),
    ] {
        let package = package(path).expect(path);
        assert_eq!(version_of(&package, good).expect(good).as_str(), good);
        assert!(version(bad).is_ok(), "{bad} is canonical");
        assert_eq!(version_of(&package, bad), Err(grammar("version", bad, rule)), "{path} {bad}");
    }
}

#[test]
fn a_toolchain_is_a_release_of_go_for_a_platform() {
    let toolchain = package("golang.org/toolchain").expect("path");
    for good in [
        "v0.0.1-go1.21.0.linux-amd64",
        "v0.0.1-go1.22rc2.darwin-arm64",
        "v0.0.1-go1.9.2rc2.linux-armv6l",
        "v0.0.1-go1.21.0-ours.1.linux-amd64",
        "v0.0.1-go1.30.windows-386",
    ] {
        assert_eq!(version_of(&toolchain, good).expect(good).as_str(), good);
    }
    for bad in [
        "v0.0.1-go1.21.0",
        "v0.0.1-go1.21.0.linux",
        "v0.0.1-go1.22rcx.darwin-arm64",
        "v0.0.1-go1.22rc.darwin-arm64",
        "v0.0.1-go1.21.0.1.linux-amd64",
        "v0.0.1-go1.21.x.linux-amd64",
        "v0.0.1-go-ours.linux-amd64",
        "v0.0.1-go1.21.0.linux-amd-64",
        "v0.0.1-go1.21.0.Linux-amd64",
        "v0.0.1-Go1.21.0.linux-amd64",
        "v0.0.1-rust1.21.0.linux-amd64",
        "v0.0.2-go1.21.0.linux-amd64",
        "v0.0.1",
        "v1.0.0",
    ] {
        assert!(version(bad).is_ok(), "{bad} is canonical");
        assert_eq!(version_of(&toolchain, bad), Err(grammar("version", bad, TOOLCHAIN_RULE)), "{bad}");
    }
    let evil = "v0.0.1-go1.21.0;x.linux-amd64";
    assert_eq!(version_of(&toolchain, evil), Err(NameError::Character { what: "version", character: ';' }));
    let other = package("golang.org/toolchains").expect("path");
    assert!(version_of(&other, "v1.0.0").is_ok());
}

#[test]
fn what_could_be_a_version_is_never_asked_for_as_a_branch() {
    let plain = package("example.com/a").expect("path");
    let second = package("example.com/a/v2").expect("path");
    let of = |text: &str| Ok(GoQuery::Version(version(text).expect(text)));
    let revision = |text: &str| Ok(GoQuery::Revision(text.to_owned()));
    for text in ["v1.0.0", "v0.0.0-20240102030405-abcdefabcdef", "v2.0.0+incompatible"] {
        assert_eq!(query(&plain, text), of(text));
    }
    for text in
        ["main", "Main", "v1", "v1.2", "v1.2.3.4", "abcdef1", "release-1.2", "v1.0.0+meta", "a@b", "_x"]
    {
        assert_eq!(query(&plain, text), revision(text), "{text}");
    }
    // A tag whose version the answer decides: the go command asks so for what has no go.mod.
    assert_eq!(query(&plain, "v2.0.0"), revision("v2.0.0"));
    assert_eq!(query(&second, "v2.0.0"), of("v2.0.0"));
    for (module, text, rule) in [
        (&second, "v3.0.0", OTHER_MAJOR),
        (&second, "v1.0.0", OTHER_MAJOR),
        (&second, "v2.0.0+incompatible", NO_SUFFIX),
        (&plain, "v1.0.0+incompatible", INCOMPATIBLE_RULE),
        (&plain, "v0.0.0-20241302030405-abcdefabcdef", TIME),
        (&plain, "v2.0.0-20241302030405-abcdefabcdef", TIME),
    ] {
        assert_eq!(query(module, text), Err(grammar("version", text, rule)), "{text}");
    }
}

#[test]
fn revisions_are_bounded_and_plain() {
    let dash = "it may not start with a dash";
    let dots = "no dot at its ends, and no two dots in a row";
    let characters = "letters, digits, and - . _ + @ only";
    for (good, bad, rule) in [
        ("upload-pack", "-upload-pack", dash),
        ("a-b", "--upload-pack", dash),
        ("a.b", "a..b", dots),
        ("a.b", ".ab", dots),
        ("a.b", "ab.", dots),
        ("upload-pack", "--upload-pack=x", characters),
        ("feature-x", "feature/x", characters),
        ("head", "HEAD~1", characters),
        ("head", "HEAD^", characters),
        ("head", "HEAD:x", characters),
        ("a", "v1.0.0;rm", characters),
        ("a", "a!", characters),
        ("a", "\u{430}", characters),
    ] {
        assert_eq!(revision(good).as_deref(), Ok(good));
        assert_eq!(revision(bad), Err(grammar("revision", bad, rule)), "{bad}");
    }
    assert_eq!(revision(""), Err(NameError::Empty { what: "revision" }));
    let long = "a".repeat(REVISION_BYTES_MAX);
    assert!(revision(&long).is_ok());
    let limit = NameError::TooLong { what: "revision", limit: REVISION_BYTES_MAX };
    assert_eq!(revision(&format!("{long}a")), Err(limit));
}

proptest! {
    #[test]
    fn no_text_breaks_the_grammar(text in "\\PC{0,40}") {
        let module = package("example.com/a").expect("path");
        if let Ok(version) = version(&text) {
            prop_assert_eq!(version.as_str(), &text);
        }
        let _ = query(&module, &text);
    }

    #[test]
    fn no_version_like_text_panics(text in "v?[0-3]\\.[0-2]\\.[0-2](-[a-z0.]{0,4}[0-9]{0,16}-?[a-f0-9]{0,14})?(\\+incompatible|\\+x)?", toolchain in "v0\\.0\\.1-go[0-9a-z.-]{0,20}") {
        for path in ["example.com/a", "example.com/a/v2", "gopkg.in/a.v1", "golang.org/toolchain"] {
            let module = package(path).expect("path");
            for text in [&text, &toolchain] {
                match query(&module, text) {
                    Ok(GoQuery::Version(found)) => prop_assert_eq!(version_of(&module, text), Ok(found)),
                    Ok(GoQuery::Revision(_) | GoQuery::Latest) | Err(_) => prop_assert!(version_of(&module, text).is_err()),
                }
            }
        }
    }
}
