//! npm's names, versions and file names.

use touchstone_domain::{Ecosystem, FileName, NameError, PackageName, Version};

const RESERVED: [&str; 3] = ["node_modules", "favicon.ico", "-"];

/// A package name: `name` or `@scope/name`. Case is kept, since old names differ by it.
pub(super) fn package(text: &str) -> Result<PackageName, NameError> {
    let name = PackageName::new(text)?;
    let refuse = |rule| Err(invalid("package name", text, rule));
    let scope = match text.strip_prefix('@') {
        Some(rest) => match rest.split_once('/') {
            Some((scope, _)) => scope,
            None => return refuse("a scoped name is @scope/name"),
        },
        None if text.contains('/') => return refuse("only scoped names contain a slash"),
        None => "",
    };
    let base = basename(&name);
    if !scope.bytes().chain(base.bytes()).all(is_plain) {
        return refuse("letters, digits, and - . _ ~ only");
    }
    if base.starts_with('.') || scope.starts_with('.') || text.starts_with('_') || scope.starts_with('_') {
        return refuse("it may not start with a dot or an underscore");
    }
    if RESERVED.iter().any(|reserved| text.eq_ignore_ascii_case(reserved)) {
        return refuse("it is reserved");
    }
    if text.starts_with('@') && scope.is_empty() {
        return refuse("a scoped name is @scope/name");
    }
    Ok(name)
}

/// A version: semantic versioning as written. Loose forms (`v1.0`, `1.0`) are none.
pub(super) fn version(text: &str) -> Result<Version, NameError> {
    let version = Version::new(text)?;
    match semver::Version::parse(text) {
        Ok(_) => Ok(version),
        Err(_) => Err(invalid("version", text, "it is not a semantic version")),
    }
}

/// A dist-tag, such as `latest`; versions pass too.
pub(super) fn tag(text: &str) -> Result<&str, NameError> {
    Version::new(text)?;
    if text.bytes().all(|b| is_plain(b) || b == b'+' || b == b'!') && text != "-" {
        Ok(text)
    } else {
        Err(invalid("dist-tag", text, "letters, digits, and - . _ ~ + ! only"))
    }
}

/// The tarball of a version.
pub(super) fn file(package: &PackageName, version: &Version) -> Result<FileName, NameError> {
    FileName::new(format!("{}-{version}.tgz", basename(package)))
}

/// The version that a tarball's name says.
pub(super) fn version_of_file(package: &PackageName, text: &str) -> Result<(Version, FileName), NameError> {
    let name = FileName::new(text)?;
    let rest = text.strip_prefix(basename(package)).and_then(|rest| rest.strip_prefix('-'));
    match rest.and_then(|rest| rest.strip_suffix(".tgz")) {
        Some(found) => Ok((version(found)?, name)),
        None => Err(invalid("file name", text, "it is name-version.tgz, without the scope")),
    }
}

/// The name without its scope.
fn basename(package: &PackageName) -> &str {
    package.as_str().split_once('/').map_or(package.as_str(), |(_, name)| name)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn invalid(what: &'static str, text: &str, rule: &'static str) -> NameError {
    NameError::Grammar { what, ecosystem: Ecosystem::Npm, text: text.to_owned(), rule }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(problem: &NameError) -> &'static str {
        match problem {
            NameError::Grammar { rule, .. } => rule,
            NameError::Empty { .. }
            | NameError::TooLong { .. }
            | NameError::Character { .. }
            | NameError::Path { .. } => panic!("{problem}"),
        }
    }

    #[test]
    fn names_are_plain_and_keep_their_case() {
        for good in
            ["a", "JSONStream", "lodash.merge", "@s/p", "@types/node", "a~b", "@s/_p", "-a", "node_modules2"]
        {
            assert_eq!(package(good).expect(good).as_str(), good);
        }
        for (bad, expected) in [
            ("a/b", "only scoped names contain a slash"),
            ("@s", "a scoped name is @scope/name"),
            (".a", "it may not start with a dot or an underscore"),
            ("_a", "it may not start with a dot or an underscore"),
            ("@s/.p", "it may not start with a dot or an underscore"),
            ("@.s/p", "it may not start with a dot or an underscore"),
            ("@_s/p", "it may not start with a dot or an underscore"),
            ("node_modules", "it is reserved"),
            ("Favicon.ico", "it is reserved"),
            ("-", "it is reserved"),
            ("a@b", "letters, digits, and - . _ ~ only"),
            ("@s/p@1", "letters, digits, and - . _ ~ only"),
            ("--upload-pack=x", "letters, digits, and - . _ ~ only"),
        ] {
            assert_eq!(package(bad).as_ref().map_err(rule).err(), Some(expected), "{bad}");
        }
        for bad in ["", "@s/", "@/p", "@s/..", "@s/p/q", "a%2fb", "\u{212a}", "a b", "a;b"] {
            assert!(package(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_semantic_and_kept_as_written() {
        for good in ["1.0.0", "1.0.0-beta.1", "1.0.0+build.5", "0.0.0-0"] {
            assert_eq!(version(good).expect(good).as_str(), good);
        }
        for bad in ["v1.0.0", "1.0", "01.0.0", "1.0.0-", "latest", "1.0.0 "] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_name_is_the_base_name_and_the_version() {
        let scoped = package("@s/a-1").expect("name");
        let of = |file: &str| version_of_file(&scoped, file).map(|(version, _)| version.to_string());
        assert_eq!(of("a-1-2.0.0.tgz").as_deref(), Ok("2.0.0"));
        for bad in
            ["a-2.0.0.tgz", "a-1-2.0.0.tar.gz", "a-1-v2.0.0.tgz", "s-a-1-2.0.0.tgz", "a-1-2.0.0.tgz.tgz"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn file_names_round_trip(
            name in "(@[a-z][a-z0-9.-]{0,9}/)?[a-zA-Z0-9][a-zA-Z0-9._~-]{0,19}",
            at in "(0|[1-9][0-9]{0,3})\\.(0|[1-9][0-9]{0,3})\\.(0|[1-9][0-9]{0,3})(-[a-z][a-z0-9-]{0,4}(\\.[1-9])?)?(\\+[a-z0-9]{1,5})?",
        ) {
            let package = package(&name).expect("in the grammar");
            let version = version(&at).expect("in the grammar");
            let file = file(&package, &version).expect("short");
            prop_assert_eq!(version_of_file(&package, file.as_str()), Ok((version, file)));
        }

        #[test]
        fn no_text_breaks_the_grammar(text in "\\PC{0,40}") {
            if let Ok(name) = package(&text) {
                prop_assert_eq!(name.as_str(), text);
            }
        }
    }
}
