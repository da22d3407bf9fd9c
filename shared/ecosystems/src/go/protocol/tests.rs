use proptest::prelude::*;

use super::*;
use crate::{Adapter as _, go::Go, normal};

fn get(path: &str) -> Result<ReadRequest, RequestError> {
    parse(&RawRequest { method: "GET", path, accept: "" })
}

fn module(path: &str) -> PackageName {
    name::package(path).expect(path)
}

fn version(text: &str) -> Version {
    name::version(text).expect(text)
}

fn artifact(path: &str, at: &str, file: &str) -> ReadRequest {
    let id = ArtifactId {
        ecosystem: Ecosystem::Go,
        package: module(path),
        version: version(at),
        file: FileName::new(file).expect(file),
    };
    ReadRequest::Artifact(ArtifactRequest { id, pinned: None })
}

fn info(path: &str, query: GoQuery) -> ReadRequest {
    ReadRequest::GoInfo { package: module(path), query }
}

fn sumdb(target: SumdbTarget) -> ReadRequest {
    ReadRequest::Sumdb(SumdbRequest { database: "sum.example".to_owned(), target })
}

fn invalid(what: &'static str, text: &str, rule: &'static str) -> RequestError {
    RequestError::Name(NameError::Grammar { what, ecosystem: Ecosystem::Go, text: text.to_owned(), rule })
}

const UPPER: &str = "an upper-case letter is written as ! and the lower-case one";
const MARK: &str = "an ! stands before a lower-case letter only";
const CHARACTERS: &str = "letters, digits, and - . _ ~ only";
const SEMANTIC: &str = "it is not a canonical semantic version behind a v";

#[test]
fn each_path_asks_for_one_thing() {
    let list = |path| ReadRequest::Index { package: module(path), form: IndexForm::GoList };
    for (path, expected) in [
        ("example.com/a/@v/list", list("example.com/a")),
        ("example.com/@v/list", list("example.com")),
        ("example.com/!azure/v2/@v/list", list("example.com/Azure/v2")),
        ("example.com/%21azure/v2/@v/list", list("example.com/Azure/v2")),
        ("example.com/a/%40v/list", list("example.com/a")),
        ("gopkg.in/yaml.v2/@v/list", list("gopkg.in/yaml.v2")),
        ("example.com/a/@latest", info("example.com/a", GoQuery::Latest)),
        ("example.com/a/@v/v1.0.0.info", info("example.com/a", GoQuery::Version(version("v1.0.0")))),
        (
            "example.com/a/@v/v1.0.0-!r!c1.info",
            info("example.com/a", GoQuery::Version(version("v1.0.0-RC1"))),
        ),
        ("example.com/a/@v/!main.info", info("example.com/a", GoQuery::Revision("Main".to_owned()))),
        ("example.com/a/@v/list.info", info("example.com/a", GoQuery::Revision("list".to_owned()))),
        ("example.com/a/@v/v1.0.0.zip", artifact("example.com/a", "v1.0.0", "v1.0.0.zip")),
        ("example.com/a/@v/v1.0.0.mod", artifact("example.com/a", "v1.0.0", "v1.0.0.mod")),
        ("example.com/!a/@v/v1.0.0-!r!c1.zip", artifact("example.com/A", "v1.0.0-RC1", "v1.0.0-RC1.zip")),
        (
            "example.com/a/@v/v2.0.0+incompatible.mod",
            artifact("example.com/a", "v2.0.0+incompatible", "v2.0.0+incompatible.mod"),
        ),
        (
            "gopkg.in/check.v1/@v/v0.0.0-20161208181325-20d25e280405.zip",
            artifact(
                "gopkg.in/check.v1",
                "v0.0.0-20161208181325-20d25e280405",
                "v0.0.0-20161208181325-20d25e280405.zip",
            ),
        ),
        (
            "golang.org/toolchain/@v/v0.0.1-go1.21.0.linux-amd64.zip",
            artifact(
                "golang.org/toolchain",
                "v0.0.1-go1.21.0.linux-amd64",
                "v0.0.1-go1.21.0.linux-amd64.zip",
            ),
        ),
    ] {
        assert_eq!(get(path), Ok(expected), "{path}");
    }
}

#[test]
fn names_have_one_escaped_form() {
    for (path, expected) in [
        ("example.com/Azure/@v/list", invalid("package name", "example.com/Azure", UPPER)),
        ("example.com/!Azure/@v/list", invalid("package name", "example.com/!Azure", MARK)),
        ("example.com/!!azure/@v/list", invalid("package name", "example.com/!!azure", MARK)),
        ("example.com/azure!/@v/list", invalid("package name", "example.com/azure!", MARK)),
        ("example.com/!1/@latest", invalid("package name", "example.com/!1", MARK)),
        ("example.com/a/@v/v1.0.0-RC1.info", invalid("version", "v1.0.0-RC1", UPPER)),
        ("example.com/a/@v/v1.0.0-RC1.zip", invalid("version", "v1.0.0-RC1", UPPER)),
        ("example.com/a/@v/v1.0.0-!!rc1.mod", invalid("version", "v1.0.0-!!rc1", MARK)),
        ("example.com/a/@v/Main.info", invalid("version", "Main", UPPER)),
        ("sumdb/sum.example/lookup/example.com/A@v1.0.0", invalid("package name", "example.com/A", UPPER)),
        ("sumdb/sum.example/lookup/example.com/a@v1.0.0-!1", invalid("version", "v1.0.0-!1", MARK)),
        ("example.com/a@b/@v/list", invalid("package name", "example.com/a@b", CHARACTERS)),
        ("example.com/a/@v/x/@v/list", invalid("package name", "example.com/a/@v/x", CHARACTERS)),
    ] {
        assert_eq!(get(path), Err(expected), "{path}");
    }
}

#[test]
fn bytes_have_a_canonical_version_that_fits() {
    let no_major = "a module path without a major version has v0 and v1 only";
    let other_major = "the module path says another major version";
    for kind in ["zip", "mod"] {
        for (module, at, rule) in [
            ("example.com/a", "main", SEMANTIC),
            ("example.com/a", "v1", SEMANTIC),
            ("example.com/a", "v1.0", SEMANTIC),
            ("example.com/a", "v1.0.0.1", SEMANTIC),
            ("example.com/a", "v1.0.0+meta", SEMANTIC),
            ("example.com/a", "abcdefabcdef", SEMANTIC),
            ("example.com/a", "v2.0.0", no_major),
            ("example.com/a/v2", "v3.0.0", other_major),
            ("gopkg.in/yaml.v2", "v1.0.0", other_major),
        ] {
            let path = format!("{module}/@v/{at}.{kind}");
            assert_eq!(get(&path), Err(invalid("version", at, rule)), "{path}");
        }
        assert_eq!(
            get(&format!("example.com/a/@v/v1.0.0-{}.{kind}", "a".repeat(248))),
            Err(NameError::TooLong { what: "file name", limit: 255 }.into())
        );
    }
    // Its answer says which version it is; the bytes are then asked for by that.
    assert_eq!(
        get("example.com/a/@v/v2.0.0.info"),
        Ok(info("example.com/a", GoQuery::Revision("v2.0.0".to_owned())))
    );
    assert_eq!(get("example.com/a/v2/@v/v3.0.0.info"), Err(invalid("version", "v3.0.0", other_major)));
    let slash = invalid("revision", "-x", "it may not start with a dash");
    assert_eq!(get("example.com/a/@v/-x.info"), Err(slash));
}

#[test]
fn the_checksum_database_is_below_its_name() {
    let lookup = |path, at| sumdb(SumdbTarget::Lookup { package: module(path), version: version(at) });
    for (path, expected) in [
        ("sumdb/sum.example/supported", sumdb(SumdbTarget::Supported)),
        ("sumdb/sum.example/latest", sumdb(SumdbTarget::Latest)),
        ("sumdb/sum.example/lookup/example.com/!a@v1.0.0-!r!c1", lookup("example.com/A", "v1.0.0-RC1")),
        ("sumdb/sum.example/lookup/example.com/a/v2@v2.0.0", lookup("example.com/a/v2", "v2.0.0")),
        ("sumdb/sum.example/lookup/example.com%40v1.0.0", lookup("example.com", "v1.0.0")),
        ("sumdb/sum.example/tile/8/0/005", sumdb(SumdbTarget::Tile("tile/8/0/005".to_owned()))),
        (
            "sumdb/sum.example/tile/8/0/x001/234.p/17",
            sumdb(SumdbTarget::Tile("tile/8/0/x001/234.p/17".to_owned())),
        ),
        ("sumdb/sum.example/tile/8/data/005", sumdb(SumdbTarget::Tile("tile/8/data/005".to_owned()))),
    ] {
        assert_eq!(get(path), Ok(expected), "{path}");
    }
    let Ok(ReadRequest::Sumdb(request)) = get("sumdb/sum.example:8080/go/supported") else {
        panic!("a path")
    };
    assert_eq!(request.database, "sum.example:8080/go");
    let no_major = "a module path without a major version has v0 and v1 only";
    for (path, expected) in [
        ("sumdb/sum.example/lookup/example.com/a@v2.0.0", invalid("version", "v2.0.0", no_major)),
        ("sumdb/sum.example/lookup/example.com/a@main", invalid("version", "main", SEMANTIC)),
        ("sumdb/sum.example/lookup/example.com/a@v1.0.0@v1", invalid("version", "v1.0.0@v1", SEMANTIC)),
        (
            "sumdb/sum.example/lookup/example.com/a@v1.0.0%2fgo.mod",
            RequestError::NoSuchPath { ecosystem: Ecosystem::Go },
        ),
        (
            "sumdb/sum.example/lookup/example/a@v1.0.0",
            invalid("package name", "example/a", "the first element has no dot"),
        ),
    ] {
        assert_eq!(get(path), Err(expected), "{path}");
    }
}

#[test]
fn there_are_no_other_paths() {
    let long_name = format!("sumdb/{}/latest", "a".repeat(256));
    let long_tile = format!("sumdb/sum.example/tile/8/0{}", "/x001".repeat(11));
    for path in [
        "",
        "example.com",
        "example.com/a",
        "example.com/a/",
        "/example.com/a/@v/list",
        "example.com//a/@v/list",
        "example.com/a/@v",
        "example.com/a/@v/",
        "example.com/a/@v/list/",
        "example.com/a/@v/v1.0.0",
        "example.com/a/@v/v1.0.0.ziphash",
        "example.com/a/@v/v1.0.0.lock",
        "example.com/a/@v/v1.0.0.ZIP",
        "example.com/a/@v/a/b.info",
        "example.com/a/@v/a%2fb.info",
        "example.com%2fa/@v/list",
        "example.com/a/@latest/x",
        "example.com/a/latest",
        "@v/list",
        "@latest",
        "sumdb",
        "sumdb/supported",
        "sumdb/sum.example",
        "sumdb/sum.example/",
        "sumdb/sum.example/supported/x",
        "sumdb/sum.example/latest/x",
        "sumdb/sum.example/lookup",
        "sumdb/sum.example/lookup/example.com/a",
        "sumdb/sum.example/lookup/example.com/a@v1.0.0/x",
        "sumdb/../latest",
        "sumdb/sum@example/latest",
        "sumdb/sum.example/tile",
        "sumdb/sum.example/tile/8/0",
        "sumdb/sum.example/tile/8/0/..",
        "sumdb/sum.example/tile/8/0/005/.p",
        "sumdb/sum.example/tile/8/0/X001/005",
        "sumdb/sum.example/tile/8/0/!x001/005",
        "sumdb/sum.example/tile/8/0/000000005",
        &long_name,
        &long_tile,
    ] {
        assert_eq!(get(path), Err(RequestError::NoSuchPath { ecosystem: Ecosystem::Go }), "{path}");
    }
    let path = "example.com/a/@v/list";
    assert_eq!(parse(&RawRequest { method: "HEAD", path, accept: "" }), get(path));
    let post = parse(&RawRequest { method: "POST", path, accept: "" });
    assert_eq!(post, Err(RequestError::Method { allowed: "GET, HEAD" }));
    assert_eq!(
        get("example.com/%2521a/@v/list"),
        Err(RequestError::Encoding { problem: "it is escaped twice" })
    );
    let up = NameError::Path { what: "package name", text: "example.com/..".to_owned() };
    assert_eq!(get("example.com/../@v/list"), Err(up.into()));
}

#[test]
fn upstream_paths_are_built_from_names() {
    let (package, at) = (module("example.com/Azure"), version("v1.0.0-RC1"));
    let path = |found: UpstreamPath| {
        assert_eq!((found.base, found.accept), (UpstreamBase::Index, "*/*"));
        found.path
    };
    assert_eq!(path(index_path(&package)), "example.com/!azure/@v/list");
    assert_eq!(path(info_path(&package, &GoQuery::Latest)), "example.com/!azure/@latest");
    let revision = GoQuery::Revision("Main".to_owned());
    assert_eq!(path(info_path(&package, &revision)), "example.com/!azure/@v/!main.info");
    let query = GoQuery::Version(at.clone());
    assert_eq!(path(info_path(&package, &query)), "example.com/!azure/@v/v1.0.0-!r!c1.info");
    for kind in [FileKind::Mod, FileKind::Zip] {
        let file = name::file(&at, kind).expect("file");
        let id = ArtifactId { ecosystem: Ecosystem::Go, package: package.clone(), version: at.clone(), file };
        let bytes = path(Go.direct(&id).expect("an address"));
        assert_eq!(bytes, format!("example.com/!azure/@v/v1.0.0-!r!c1.{}", kind.extension()));
        assert_eq!(get(&bytes), Ok(ReadRequest::Artifact(ArtifactRequest { id, pinned: None })));
    }
    for (target, expected) in [
        (SumdbTarget::Supported, "supported"),
        (SumdbTarget::Latest, "latest"),
        (SumdbTarget::Lookup { package, version: at }, "lookup/example.com/!azure@v1.0.0-!r!c1"),
        (SumdbTarget::Tile("tile/8/0/x001/234.p/17".to_owned()), "tile/8/0/x001/234.p/17"),
    ] {
        let found = sumdb_path(&target);
        assert_eq!((found.base, found.path.as_str()), (UpstreamBase::Attestations, expected));
        assert_eq!(get(&format!("sumdb/sum.example/{expected}")), Ok(sumdb(target)));
    }
}

#[test]
fn a_purl_of_a_module_keeps_its_case() {
    for text in [
        "pkg:golang/example.com/Azure/v2@v2.0.0?file_name=v2.0.0.zip",
        "pkg:golang/example.com/Azure@v2.0.0%2Bincompatible",
        "pkg:golang/example.com/Azure",
        "pkg:golang/golang.org/toolchain@v0.0.1-go1.21.0.linux-amd64",
    ] {
        assert_eq!(normal(text.parse().expect(text)).expect(text).to_string(), text);
    }
    for (bad, expected) in [
        ("pkg:golang/example/a", invalid("package name", "example/a", "the first element has no dot")),
        ("pkg:golang/example.com/a@1.0.0", invalid("version", "1.0.0", SEMANTIC)),
    ] {
        assert_eq!(normal(bad.parse().expect(bad)).map_err(RequestError::Name), Err(expected));
    }
}

proptest! {
    #[test]
    fn no_path_panics(path in "\\PC{0,60}") {
        let _ = get(&path);
    }

    #[test]
    fn what_is_parsed_is_asked_for_by_the_same_path(
        path in "(example\\.com|gopkg\\.in|sumdb/sum\\.example/(lookup|tile))(/[a-zA-Z!0-9.~_-]{1,5}){0,3}(/v[0-9]|\\.v[0-9])?(/@v/|@)(v[0-3]\\.0\\.[01]|[!a-z]{1,4})(-[!a-z0-9]{1,4})?(\\+incompatible)?(\\.info|\\.mod|\\.zip)?",
    ) {
        let again = match get(&path) {
            Ok(ReadRequest::Artifact(ArtifactRequest { id, .. })) => direct(&id).path,
            Ok(ReadRequest::GoInfo { package, query }) => info_path(&package, &query).path,
            Ok(ReadRequest::Sumdb(request)) => format!("sumdb/{}/{}", request.database, sumdb_path(&request.target).path),
            Ok(other) => panic!("{other:?}"),
            Err(_) => return Ok(()),
        };
        prop_assert_eq!(again, path);
    }
}
