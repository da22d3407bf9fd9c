//! Archives and `go.mod` files that a checksum database has on record as they are, and that are refused all the same: what h1
//! does not cover, what extracts differently elsewhere, and what is another module (G-13, G-16, ecosystems.md 7.6).

use touchstone_domain::{ArchiveRule, Reason};
use touchstone_testkit::{Module, Registry, TestMirror, ZipEntry};

use super::{get, rejected_by};

const PATH: &str = "example.com/nasty";

/// Why the hash check says no: the rule of an archive, or the part that names something else.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Found {
    Rule(ArchiveRule),
    Part(&'static str),
}

fn found(reason: &Reason) -> Option<Found> {
    if let Reason::ArchiveRejected { rule, .. } = reason {
        return Some(Found::Rule(*rule));
    }
    let parts = ["directory", "module", "version"];
    if let Reason::CoordinateMismatch { part, .. } = reason {
        return parts.into_iter().find(|known| known == part).map(Found::Part);
    }
    None
}

fn with(entry: impl FnOnce(&str) -> ZipEntry) -> impl FnOnce(Module) -> Module {
    move |module| {
        let root = format!("{}@{}", module.path, module.version);
        module.entry(entry(&root))
    }
}

type Change = Box<dyn FnOnce(Module) -> Module>;

fn zips() -> Vec<(&'static str, Found, Change)> {
    let file = |name: &'static str| -> Change {
        Box::new(with(move |root| ZipEntry::file(format!("{root}/{name}"), "")))
    };
    let outside = |name: &'static str| -> Change { Box::new(with(move |_| ZipEntry::file(name, ""))) };
    let path = Found::Rule(ArchiveRule::Path);
    let duplicate = Found::Rule(ArchiveRule::Duplicate);
    vec![
        ("outside the module", Found::Part("directory"), outside("evil.go")),
        ("of another version", Found::Part("directory"), outside("example.com/nasty@v9.9.9/evil.go")),
        ("upwards", path, file("../evil.go")),
        ("a name twice", duplicate, file("module.go")),
        ("a name in another case", duplicate, file("Module.go")),
        ("go.mod in another case", duplicate, file("GO.MOD")),
        ("another module inside", path, file("sub/go.mod")),
        ("a newline in a name", path, file("a\nb.go")),
        ("a control character in a name", path, file("a\u{1b}[2Jb.go")),
        ("a name that Windows keeps for itself", path, file("con.go")),
        ("a name with a dot at its end", path, file("dir./x.go")),
        ("a backslash", path, file("a\\b.go")),
        (
            "a link",
            Found::Rule(ArchiveRule::EntryType),
            Box::new(with(|root| ZipEntry::symlink(format!("{root}/link"), "/etc/passwd"))),
        ),
        (
            "a go.mod of 17 MiB",
            Found::Rule(ArchiveRule::Limit),
            Box::new(|module| {
                let text = format!("module {PATH}\n{}", "/".repeat(17 << 20));
                module.file("go.mod", text)
            }),
        ),
        (
            "a go.mod of another module",
            Found::Part("module"),
            Box::new(|module| module.with_go_mod("module example.com/other\n\ngo 1.21\n")),
        ),
        (
            "a go.mod of no module",
            Found::Rule(ArchiveRule::Missing),
            Box::new(|module| module.with_go_mod("go 1.21\n")),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_that_are_not_plain_are_rejected_though_they_are_on_record() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for (number, (name, expected, change)) in zips().into_iter().enumerate() {
        let module = change(Module::new(PATH, &format!("v1.{number}.0")));
        registry.publish_module(module.clone());
        let reason = rejected_by("hash", &mirror, &module, "zip").await;
        assert_eq!(found(&reason), Some(expected), "{name}: {reason}");
    }
    let plain = Module::new(PATH, "v1.99.0").file("sub/dir/Plain.go", "package dir\n");
    registry.publish_module(plain.clone());
    get(&mirror, &plain, "zip").await.served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_go_mod_is_of_the_module_and_where_it_may_be() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let other = "module example.com/other\n";
    for (name, extension, expected, module) in [
        ("a .mod of another module", "mod", "module", Module::new(PATH, "v1.0.0").with_mod_file(other)),
        ("a go.mod where none may be", "zip", "version", Module::new(PATH, "v2.0.0+incompatible")),
    ] {
        registry.publish_module(module.clone());
        let reason = rejected_by("hash", &mirror, &module, extension).await;
        assert_eq!(found(&reason), Some(Found::Part(expected)), "{name}: {reason}");
    }
    // From before there were modules.
    let old = Module::new(PATH, "v3.0.0+incompatible").without("go.mod");
    let old = old.with_mod_file(&format!("module {PATH}\n"));
    registry.publish_module(old.clone());
    for extension in ["zip", "mod"] {
        get(&mirror, &old, extension).await.served();
    }
}
