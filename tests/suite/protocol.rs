//! The edge's own HTTP, as hostile clients and middle boxes use it (threats.md, group P).

mod audit;
mod framing;
mod paths;
pub(crate) mod raw;
mod variants;

use touchstone_testkit::{Package, Registry, TestMirror, crate_file, npm_package, wheel};

/// Names that belong to the organisation.
const INTERNAL: &str = r#"
[[internal]]
ecosystem = "npm"
packages = ["@corp/*", "corp-*"]

[[internal]]
ecosystem = "pypi"
packages = ["corp-*"]

[[internal]]
ecosystem = "cargo"
packages = ["corp-*"]
"#;

/// A mirror of a registry with one package of each ecosystem and a scoped one; some names are internal.
async fn world() -> (Registry, TestMirror, [Package; 4]) {
    let registry = Registry::start().await;
    let packages = [
        npm_package("left-pad", "1.3.0", &[], 3_000),
        npm_package("@s/p", "1.0.0", &[], 10),
        wheel("sample", "4.0.0", &[], 10),
        crate_file("pad_left", "0.1.0", &[], 10),
    ];
    for package in &packages {
        registry.publish(package.clone());
    }
    let mirror = TestMirror::builder().registry(&registry).policy(INTERNAL).start().await;
    (registry, mirror, packages)
}
