//! Anchored globs over folded names; matching is linear in the name for each `*`, and never backtracks further.
//!
//! Go's patterns are those of `GOPRIVATE`: each element of the pattern is a glob for an element of the path, in which `*` stops
//! at `/`, and what is below a path that matches, matches too. So `*.corp.example` never means `evil.example/x.corp.example`.

use crate::Ecosystem;

const PATTERN_BYTES_MAX: usize = 256;

/// A glob; `*` stands for any run of characters, the empty one and `/` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    glob: String,
    /// Whether it is compared element by element, and names everything below.
    by_element: bool,
}

impl Pattern {
    /// Folds the pattern as names are folded.
    pub(super) fn compile(ecosystem: Ecosystem, text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > PATTERN_BYTES_MAX {
            return Err(format!("the pattern {text:?} is empty or longer than {PATTERN_BYTES_MAX} bytes"));
        }
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() || "?[]{}\\!".contains(*c)) {
            return Err(format!(
                "the pattern {text:?} contains {c:?}; only `*` is special, and names are ASCII"
            ));
        }
        let by_element = match ecosystem {
            Ecosystem::Go => true,
            Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => false,
        };
        if by_element && text.split('/').any(str::is_empty) {
            return Err(format!("the pattern {text:?} has an empty element; write it as GOPRIVATE does"));
        }
        Ok(Self { glob: fold(ecosystem, text), by_element })
    }

    /// A pattern of Go modules in which case counts, as it does in `GOPRIVATE`: for what excuses modules from something.
    pub(super) fn of_modules(text: &str) -> Result<Self, String> {
        Ok(Self { glob: text.to_owned(), ..Self::compile(Ecosystem::Go, text)? })
    }

    /// Whether the whole name matches; folded, unless case counts.
    pub(super) fn matches(&self, name: &str) -> bool {
        if !self.by_element {
            return anchored(&self.glob, name);
        }
        let mut elements = name.split('/');
        self.glob.split('/').all(|glob| elements.next().is_some_and(|element| anchored(glob, element)))
    }

    /// Whether it names Go modules below this one, and not this one itself. Elements that are `*` alone name nothing.
    pub(super) fn is_below(&self, name: &str) -> bool {
        let globs: Vec<&str> = self.glob.split('/').collect();
        let elements: Vec<&str> = name.split('/').collect();
        let above = globs.get(..elements.len()).filter(|above| above.len() < globs.len());
        self.by_element
            && above.is_some_and(|above| {
                above.iter().any(|glob| *glob != "*")
                    && above.iter().zip(&elements).all(|(glob, element)| anchored(glob, element))
            })
    }
}

/// Whether the glob matches the whole text.
pub(super) fn anchored(glob: &str, text: &str) -> bool {
    let mut pieces = glob.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The form in which names are compared: no spelling of a name escapes a rule about it.
pub(super) fn fold(ecosystem: Ecosystem, name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match ecosystem {
        Ecosystem::Npm | Ecosystem::Go => lower,
        Ecosystem::Cargo => lower.replace('_', "-"),
        // Runs of separators are one separator (PEP 503).
        Ecosystem::Pypi => {
            let mut folded = lower.replace(['_', '.'], "-");
            while folded.contains("--") {
                folded = folded.replace("--", "-");
            }
            folded
        }
    }
}

/// Whether two versions in normal form are one version: 1.0 and 1.0.0 are, for Python's clients.
pub(super) fn same_version(ecosystem: Ecosystem, left: &str, right: &str) -> bool {
    match ecosystem {
        Ecosystem::Npm | Ecosystem::Cargo | Ecosystem::Go => left == right,
        Ecosystem::Pypi => {
            let split = |text: &str| {
                let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '!')).unwrap_or(text.len());
                // `1.0.dev1`: the point belongs to the suffix.
                let release = text[..end].trim_end_matches('.').len();
                (release, trimmed(&text[..release]).to_owned())
            };
            let ((left_end, left_release), (right_end, right_release)) = (split(left), split(right));
            left_release == right_release && left[left_end..] == right[right_end..]
        }
    }
}

/// A release without the zeros at its end.
fn trimmed(release: &str) -> &str {
    let mut release = release;
    while let Some(shorter) = release.strip_suffix(".0") {
        release = shorter;
    }
    release
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_anchored_and_folded() {
        let matches = |pattern, name: &str| {
            let pattern = Pattern::compile(Ecosystem::Pypi, pattern).expect("pattern");
            pattern.matches(&fold(Ecosystem::Pypi, name))
        };
        for (pattern, name, expected) in [
            ("acme-*", "acme-tools", true),
            ("acme-*", "ACME_tools", true),
            ("acme.*", "acme-", true),
            ("acme--*", "acme-x", true),
            ("acme_.x", "acme-x", true),
            ("acme-*", "xacme-tools", false),
            ("acme", "acme-tools", false),
            ("*", "anything", true),
            ("a*b*c", "a-x-b-y-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*tools", "acme-tools", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(Pattern::compile(Ecosystem::Npm, "").is_err());
        assert!(Pattern::compile(Ecosystem::Npm, "a[b]").is_err());
    }

    #[test]
    fn go_patterns_are_those_of_goprivate() {
        let matches = |pattern, name: &str| {
            Pattern::compile(Ecosystem::Go, pattern).expect("pattern").matches(&fold(Ecosystem::Go, name))
        };
        for (pattern, name, expected) in [
            ("corp.example", "corp.example", true),
            ("corp.example", "corp.example/x/y", true),
            ("corp.example", "corp.example.evil.example/x", false),
            ("*.corp.example", "git.corp.example/Team/x", true),
            ("*.corp.example", "evil.example/x.corp.example", false),
            ("*.corp.example", "corp.example/x", false),
            ("code.example/team-*/lib", "code.example/team-a/lib/v2", true),
            ("code.example/team-*/lib", "code.example/team-a/other", false),
            ("code.example/team", "code.example/teams", false),
            ("code.example/team", "code.example", false),
            ("*", "anything.example/x", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        for bad in ["/x", "corp.example/", "a//b"] {
            assert!(Pattern::compile(Ecosystem::Go, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_go_pattern_is_below_every_parent_of_what_it_names() {
        let is_below = |pattern, name: &str| {
            Pattern::compile(Ecosystem::Go, pattern).expect("pattern").is_below(&fold(Ecosystem::Go, name))
        };
        for (pattern, name, expected) in [
            ("git.corp.example/team/lib", "git.corp.example", true),
            ("git.corp.example/team/lib", "git.corp.example/Team", true),
            ("git.corp.example/team/lib", "git.corp.example/team/lib", false),
            ("git.corp.example/team/lib", "git.corp.example/team/lib/sub", false),
            ("git.corp.example/team/lib", "git.corp.example/other", false),
            ("git.corp.example/team", "corp.example", false),
            ("git.corp.example", "git.corp", false),
            ("*.corp.example/team", "git.corp.example", true),
            ("*.corp.example/team", "code.example", false),
            ("git.corp.example/*/lib", "git.corp.example/team", true),
            // It would name every host.
            ("*/team", "code.example", false),
            ("*/*/team", "code.example/m", false),
        ] {
            assert_eq!(is_below(pattern, name), expected, "{pattern} {name}");
        }
        let npm = Pattern::compile(Ecosystem::Npm, "@acme/x").expect("pattern");
        assert!(!npm.is_below("@acme"), "there are no parents");
    }

    #[test]
    fn zeros_at_the_end_of_a_release_make_no_other_python_version() {
        for (left, right, expected) in [
            ("1.0", "1.0.0", true),
            ("1", "1.0.0", true),
            ("1!1.0rc1", "1!1rc1", true),
            ("1.0.dev1", "1.0.0.dev1", true),
            ("1.0", "1.0.1", false),
            ("1.0", "10", false),
            ("1.0", "1.0rc1", false),
            ("1!1.0", "1.0", false),
            ("1.0.post0", "1.0.post", false),
        ] {
            assert_eq!(same_version(Ecosystem::Pypi, left, right), expected, "{left} {right}");
            assert_eq!(same_version(Ecosystem::Npm, left, right), left == right);
        }
    }
}
