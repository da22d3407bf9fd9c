//! How versions of an ecosystem compare, for identity continuity.

use touchstone_domain::{Ecosystem, ReleaseLine, Version};

/// How many major versions there are to a PyPI epoch; larger ones count as the last.
const MAJORS: u64 = 1 << 32;

/// The release line that a version belongs to: its major version, and PyPI's epoch above it. Versions that the ecosystem's
/// grammar cannot read, of which there are none in an [`crate::Index`], are on the lowest line.
pub fn release_line(ecosystem: Ecosystem, version: &Version) -> ReleaseLine {
    let line = match ecosystem {
        Ecosystem::Npm | Ecosystem::Cargo => {
            semver::Version::parse(version.as_str()).map_or(0, |version| version.major)
        }
        Ecosystem::Go => semantic(version).map_or(0, |version| version.major),
        Ecosystem::Pypi => pep440(version).map_or(0, |version| {
            let major = version.release().first().copied().unwrap_or_default();
            version.epoch().saturating_mul(MAJORS).saturating_add(major.min(MAJORS - 1))
        }),
    };
    ReleaseLine(i64::try_from(line).unwrap_or(i64::MAX))
}

/// Whether `a` is lower than `b`, by the ecosystem's order; `None` if one of them is not of its grammar.
pub fn version_lower(ecosystem: Ecosystem, a: &Version, b: &Version) -> Option<bool> {
    match ecosystem {
        Ecosystem::Npm | Ecosystem::Cargo => {
            let parse = |version: &Version| semver::Version::parse(version.as_str()).ok();
            Some(parse(a)?.cmp_precedence(&parse(b)?).is_lt())
        }
        Ecosystem::Go => Some(semantic(a)?.cmp_precedence(&semantic(b)?).is_lt()),
        Ecosystem::Pypi => Some(pep440(a)? < pep440(b)?),
    }
}

/// A Go version: a semantic one behind a `v`.
fn semantic(version: &Version) -> Option<semver::Version> {
    semver::Version::parse(version.as_str().strip_prefix('v')?).ok()
}

fn pep440(version: &Version) -> Option<pep440_rs::Version> {
    version.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::new(text).expect(text)
    }

    #[test]
    fn a_line_is_the_major_version_below_the_epoch() {
        for (ecosystem, text, line) in [
            (Ecosystem::Npm, "0.9.9", 0),
            (Ecosystem::Npm, "10.0.0-rc.1+build", 10),
            (Ecosystem::Npm, "18446744073709551615.0.0", i64::MAX),
            (Ecosystem::Cargo, "3.1.4", 3),
            (Ecosystem::Go, "v0.0.0-20240102030405-abcdefabcdef", 0),
            (Ecosystem::Go, "v2.1.0+incompatible", 2),
            (Ecosystem::Go, "v18446744073709551615.0.0", i64::MAX),
            (Ecosystem::Pypi, "2026.1", 2026),
            (Ecosystem::Pypi, "4", 4),
            (Ecosystem::Pypi, "1!2.0", (1 << 32) + 2),
            (Ecosystem::Pypi, "99999999999.0", (1 << 32) - 1),
            (Ecosystem::Pypi, "99999999999!1", i64::MAX),
        ] {
            assert_eq!(release_line(ecosystem, &version(text)), ReleaseLine(line), "{text}");
        }
    }

    #[test]
    fn versions_compare_as_their_ecosystem_does() {
        for (ecosystem, a, b, expected) in [
            (Ecosystem::Npm, "1.2.9", "1.2.10", Some(true)),
            (Ecosystem::Npm, "1.2.10", "1.2.9", Some(false)),
            (Ecosystem::Npm, "1.0.0-rc.1", "1.0.0", Some(true)),
            (Ecosystem::Npm, "1.0.0+a", "1.0.0+b", Some(false)),
            (Ecosystem::Npm, "1.0", "1.0.0", None),
            (Ecosystem::Go, "v1.2.9", "v1.2.10", Some(true)),
            (Ecosystem::Go, "v1.2.10", "v1.2.9", Some(false)),
            (Ecosystem::Go, "v1.0.0-rc.1", "v1.0.0", Some(true)),
            (
                Ecosystem::Go,
                "v0.0.0-20240102030405-abcdefabcdef",
                "v0.0.0-20240102030406-000000000000",
                Some(true),
            ),
            (Ecosystem::Go, "v1.2.3", "v1.2.4-0.20240102030405-abcdefabcdef", Some(true)),
            (Ecosystem::Go, "v1.2.4-0.20240102030405-abcdefabcdef", "v1.2.4", Some(true)),
            (Ecosystem::Go, "v2.0.0+incompatible", "v2.0.0", Some(false)),
            (Ecosystem::Go, "v1.9.0", "v2.0.0+incompatible", Some(true)),
            (Ecosystem::Go, "1.0.0", "v1.0.1", None),
            (Ecosystem::Go, "v1.0", "v1.0.1", None),
            (Ecosystem::Pypi, "1.0", "1.0.0", Some(false)),
            (Ecosystem::Pypi, "1.0rc1", "1.0", Some(true)),
            (Ecosystem::Pypi, "2.0", "1!1.0", Some(true)),
            (Ecosystem::Pypi, "1.0.post1", "1.0", Some(false)),
            (Ecosystem::Pypi, "1.0", "one", None),
        ] {
            assert_eq!(version_lower(ecosystem, &version(a), &version(b)), expected, "{a} {b}");
        }
    }
}
