//! Artifacts as package URLs. The file is the `file_name` qualifier where a version has several (PyPI, Go).
//!
//! Go paths and npm names keep their case: the specification lower-cases them, and modules and packages that differ in case are two.

use std::{fmt, str::FromStr};

use packageurl::PackageUrl;

use crate::{ArtifactId, Ecosystem, FileName, NameError, PackageName, UnknownEcosystem, Version};

/// A purl that may leave out the version or the file, and then means all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Purl {
    /// The ecosystem.
    pub ecosystem: Ecosystem,
    /// The package.
    pub package: PackageName,
    /// The version, if one is named.
    pub version: Option<Version>,
    /// The file, if one is named.
    pub file: Option<FileName>,
}

/// Why a text is no purl of ours.
#[derive(Debug, thiserror::Error)]
pub enum PurlError {
    /// Not of the purl grammar.
    #[error("not a package URL such as pkg:npm/left-pad@1.3.0")]
    Grammar(#[source] packageurl::Error),
    /// A type that we do not serve.
    #[error(transparent)]
    Ecosystem(#[from] UnknownEcosystem),
    /// A part that is no valid name.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl From<&ArtifactId> for Purl {
    fn from(id: &ArtifactId) -> Self {
        let file = match id.ecosystem {
            Ecosystem::Go | Ecosystem::Pypi => Some(id.file.clone()),
            Ecosystem::Cargo | Ecosystem::Npm => None,
        };
        Self { ecosystem: id.ecosystem, package: id.package.clone(), version: Some(id.version.clone()), file }
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The library refuses a namespace elsewhere, and `to_string` of what is refused panics.
        let has_namespaces = match self.ecosystem {
            Ecosystem::Go | Ecosystem::Npm => true,
            Ecosystem::Cargo | Ecosystem::Pypi => false,
        };
        let (namespace, name) = match self.package.as_str().rsplit_once('/').filter(|_| has_namespaces) {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, self.package.as_str()),
        };
        let neutral = neutral_type(self.ecosystem);
        let mut purl = PackageUrl::new(neutral, name).map_err(|_| fmt::Error)?;
        if let Some(namespace) = namespace {
            purl.with_namespace(namespace).map_err(|_| fmt::Error)?;
        }
        if let Some(version) = &self.version {
            purl.with_version(version.as_str()).map_err(|_| fmt::Error)?;
        }
        if let Some(file) = &self.file {
            purl.add_qualifier("file_name", file.as_str()).map_err(|_| fmt::Error)?;
        }
        let text = purl.to_string();
        f.write_str(&with_type(&text, neutral, self.ecosystem.purl_type()))
    }
}

impl FromStr for Purl {
    type Err = PurlError;

    fn from_str(text: &str) -> Result<Self, PurlError> {
        let purl: PackageUrl<'_> = text.parse().map_err(PurlError::Grammar)?;
        let ecosystem = Ecosystem::of_purl_type(purl.ty())?;
        let text = with_type(text, purl.ty(), neutral_type(ecosystem));
        let purl: PackageUrl<'_> = text.parse().map_err(PurlError::Grammar)?;
        let package = match purl.namespace() {
            Some(namespace) => format!("{namespace}/{}", purl.name()),
            None => purl.name().to_owned(),
        };
        let file = purl.qualifiers().get("file_name");
        Ok(Self {
            ecosystem,
            package: PackageName::new(package)?,
            version: purl.version().map(Version::new).transpose()?,
            file: file.map(|f| FileName::new(f.as_ref())).transpose()?,
        })
    }
}

/// What the library is told instead of the type. Under a type of its own that is no purl type, it does not know that it should lower
/// the case of names.
const fn neutral_type(ecosystem: Ecosystem) -> &'static str {
    match ecosystem {
        Ecosystem::Go => "go",
        Ecosystem::Npm => "npm-package",
        Ecosystem::Cargo | Ecosystem::Pypi => ecosystem.purl_type(),
    }
}

/// The same purl with another type.
fn with_type(text: &str, from: &str, to: &str) -> String {
    match text.to_ascii_lowercase().find(from) {
        Some(at) => format!("{}{to}{}", &text[..at], &text[at + from.len()..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purls_round_trip() {
        for text in [
            "pkg:npm/%40scope/name@1.0.0",
            "pkg:npm/left-pad@1.3.0",
            "pkg:npm/JSONStream@1.3.5",
            "pkg:npm/%40Scope/npm-package@1.0.0",
            "pkg:cargo/serde@1.0.0",
            "pkg:pypi/requests@2.32.0?file_name=requests-2.32.0-py3-none-any.whl",
            "pkg:pypi/requests",
            "pkg:golang/example.com/Upper/mod/v2@v2.0.1?file_name=v2.0.1.zip",
            "pkg:golang/example.com@v1.0.0%2Bincompatible?file_name=v1.0.0%2Bincompatible.mod",
            // names that no such package has, and that are in the database nevertheless
            "pkg:pypi/a%2Fb@1.0.0?file_name=x",
            "pkg:cargo/a%2Fb@1.0.0",
        ] {
            assert_eq!(text.parse::<Purl>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_type_has_no_case_and_a_go_path_has() {
        let purl: Purl = "pkg://GoLang/example.com/GoLang/Mod@v1.0.0".parse().expect("a purl");
        assert_eq!((purl.ecosystem, purl.package.as_str()), (Ecosystem::Go, "example.com/GoLang/Mod"));
        assert_eq!(purl.to_string(), "pkg:golang/example.com/GoLang/Mod@v1.0.0");
        let lower: Purl = "pkg:golang/example.com/golang/mod@v1.0.0".parse().expect("a purl");
        assert_ne!(purl, lower);
    }

    #[test]
    fn other_types_and_path_tricks_are_refused() {
        assert!(matches!("pkg:gem/rails@7".parse::<Purl>(), Err(PurlError::Ecosystem(_))));
        assert!(matches!("pkg:go/example.com/a@v1.0.0".parse::<Purl>(), Err(PurlError::Ecosystem(_))));
        assert!(matches!("left-pad".parse::<Purl>(), Err(PurlError::Grammar(_))));
        assert!("pkg:npm/a@%2e%2e".parse::<Purl>().is_err());
    }
}
