//! The subject of PyPI's statements: the name of a file, compared by what it says.

use std::collections::BTreeSet;

use touchstone_domain::{FileName, PackageName};

use super::super::name::{self, Kind};

/// Whether a subject's name says what the name of a file of this project says: the kind, the project, the version and, for a
/// wheel, build tag and set of tags. An sdist as `.zip` is another than one as `.tar.gz`.
pub fn subject_matches(package: &PackageName, file: &FileName, subject: &str) -> bool {
    let said = FileName::new(subject).ok().and_then(|subject| parsed(package, &subject));
    said.is_some() && said == parsed(package, file)
}

/// Whether a file is a core metadata sidecar (PEP 658), which nothing attests: its distribution has attestations, and the
/// hash check compares it with the metadata in there.
pub fn is_sidecar(file: &FileName) -> bool {
    file.as_str().ends_with(name::SIDECAR)
}

/// What a file name says, in a form in which equal things are equal.
#[derive(PartialEq, Eq)]
struct Parsed {
    kind: Kind,
    version: pep440_rs::Version,
    wheel: Option<Tags>,
}

#[derive(PartialEq, Eq)]
struct Tags {
    /// Digits without leading zeros, and what follows them.
    build: Option<(String, String)>,
    /// The sets of python, ABI and platform tags.
    sets: [BTreeSet<String>; 3],
}

fn parsed(package: &PackageName, file: &FileName) -> Option<Parsed> {
    let distribution = name::distribution(package, file).ok()?;
    let version = distribution.version.as_str().parse().ok()?;
    let wheel = match distribution.kind {
        Kind::Wheel => Some(tags(file.as_str().strip_suffix(".whl")?)?),
        Kind::TarGz | Kind::Zip => None,
    };
    Some(Parsed { kind: distribution.kind, version, wheel })
}

fn tags(stem: &str) -> Option<Tags> {
    let parts: Vec<&str> = stem.split('-').collect();
    let (build, [python, abi, platform]) = match *parts.as_slice() {
        [_, _, python, abi, platform] => (None, [python, abi, platform]),
        [_, _, build, python, abi, platform] => (Some(build), [python, abi, platform]),
        _ => return None,
    };
    let build = build.map(|build| {
        let digits = build.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = build.split_at(digits);
        (number.trim_start_matches('0').to_owned(), rest.to_owned())
    });
    let set = |tags: &str| tags.split('.').map(str::to_ascii_lowercase).collect();
    Some(Tags { build, sets: [set(python), set(abi), set(platform)] })
}
