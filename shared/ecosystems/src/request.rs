//! What a client asks for, parsed once.

use touchstone_domain::{ArtifactId, NameError, PackageName, Sha256, Version};

/// A request below the root of its ecosystem, as it came.
#[derive(Clone, Copy, Debug)]
pub struct RawRequest<'a> {
    /// `GET`, `HEAD` (parsed as `GET`) or `POST`.
    pub method: &'a str,
    /// The path below the ecosystem's root, still percent-encoded, without leading slash and without query.
    pub path: &'a str,
    /// The `Accept` header, empty when absent.
    pub accept: &'a str,
}

impl RawRequest<'_> {
    /// The path's segments, decoded once. A decoded segment is printable ASCII without `%` and `\\`; it may be empty and
    /// may contain `/`, and is then refused by every grammar but that of npm's scoped names.
    pub(crate) fn segments(&self) -> Result<Vec<String>, RequestError> {
        if self.path.len() > PATH_BYTES_MAX {
            return Err(RequestError::Encoding { problem: "it is too long" });
        }
        self.path.split('/').map(decoded).collect()
    }
}

/// Longer than any coordinate of any ecosystem, escaped throughout.
const PATH_BYTES_MAX: usize = 4096;

fn decoded(segment: &str) -> Result<String, RequestError> {
    let refuse = |problem| RequestError::Encoding { problem };
    let mut text = String::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
            let (Some(high), Some(low)) = (digit(), digit()) else {
                return Err(refuse("an escape is broken"));
            };
            u8::try_from(high * 16 + low).map_err(|_| refuse("an escape is broken"))?
        } else {
            byte
        };
        match byte {
            b'%' => return Err(refuse("it is escaped twice")),
            b'\\' => return Err(refuse("it contains a backslash")),
            b'?' | b'#' => return Err(refuse("it contains a query or fragment mark")),
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => return Err(refuse("it contains a character outside printable ASCII")),
        }
    }
    Ok(text)
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRequest {
    /// A package's metadata.
    Index {
        /// The package.
        package: PackageName,
        /// The representation.
        form: IndexForm,
    },
    /// An artifact's bytes.
    Artifact(ArtifactRequest),
    /// A document that is passed through from the upstream.
    Document(Document),
    /// Go: what the upstream says of one version (`.info`, `@latest`).
    GoInfo {
        /// The module.
        package: PackageName,
        /// Which version.
        query: GoQuery,
    },
    /// Go: the checksum database, passed through.
    Sumdb(SumdbRequest),
    /// npm's bulk advisory request: its body is filtered and passed on.
    BulkAudit,
    /// A document that is answered without asking anybody.
    Static(StaticReply),
    /// The same thing has another spelling: 301 to this path below the ecosystem's root.
    Redirect(String),
}

/// Which version of a module is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GoQuery {
    /// A canonical version.
    Version(Version),
    /// A branch, tag or commit; what it means changes. Unescaped.
    Revision(String),
    /// `@latest`.
    Latest,
}

/// A request to a checksum database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SumdbRequest {
    /// The name of the database, which is that of its key.
    pub database: String,
    /// What of it.
    pub target: SumdbTarget,
}

/// What is asked of a checksum database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SumdbTarget {
    /// Whether we stand in for it.
    Supported,
    /// The latest signed tree head.
    Latest,
    /// The record of a version.
    Lookup {
        /// The module.
        package: PackageName,
        /// The version.
        version: Version,
    },
    /// A tile: the path from `tile/` on, checked for its characters only.
    Tile(String),
}

/// An artifact, and the digest that the path itself names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactRequest {
    /// The coordinate.
    pub id: ArtifactId,
    /// The digest in the path; other bytes are refused.
    pub pinned: Option<Sha256>,
}

/// A representation of a package's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IndexForm {
    /// npm: the whole packument.
    NpmFull,
    /// npm: the abbreviated packument (`application/vnd.npm.install-v1+json`).
    NpmAbbreviated,
    /// npm: one version's manifest, named by version or dist-tag.
    NpmManifest(String),
    /// PyPI: PEP 503 HTML as `text/html`.
    PypiHtml,
    /// PyPI: the same as `application/vnd.pypi.simple.v1+html`.
    PypiHtmlV1,
    /// PyPI: PEP 691 JSON.
    PypiJson,
    /// Cargo: the sparse index file.
    CargoSparse,
    /// Go: `@v/list`.
    GoList,
}

/// A document that the mirror does not interpret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Document {
    /// The package that it is about, for the policy; `None` for registry-wide documents.
    pub package: Option<PackageName>,
    /// The version that it is about, if one.
    pub version: Option<Version>,
    /// Where the upstream has it.
    pub upstream: UpstreamPath,
}

/// A path below one of an upstream's base addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamPath {
    /// Which of the upstream's addresses it is below.
    pub base: UpstreamBase,
    /// Percent-encoded, without leading slash.
    pub path: String,
    /// The `Accept` header.
    pub accept: &'static str,
}

/// One of an upstream's base addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamBase {
    /// `[upstream.*] url`.
    Index,
    /// `attestations_url` (npm), `provenance_url` (PyPI) or `sumdb_url` (Go).
    Attestations,
}

/// A document that needs no upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StaticReply {
    /// Cargo's `config.json`.
    CargoConfig,
    /// npm's `/-/ping`.
    NpmPing,
}

/// Why a request is refused before anything is looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not a path of this ecosystem. 404.
    #[error("no such path in the {ecosystem} registry protocol")]
    NoSuchPath {
        /// The ecosystem.
        ecosystem: touchstone_domain::Ecosystem,
    },
    /// A name, version or file name outside the grammar. 400.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An escape that is broken, doubled, or stands for what may not be escaped. 400.
    #[error("the path is not plainly encoded: {problem}")]
    Encoding {
        /// What is wrong.
        problem: &'static str,
    },
    /// A method that the path does not have. 405.
    #[error("only {allowed} is answered here")]
    Method {
        /// The `Allow` header.
        allowed: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Result<Vec<String>, RequestError> {
        RawRequest { method: "GET", path, accept: "" }.segments()
    }

    #[test]
    fn segments_are_split_before_they_are_decoded_and_decoded_once() {
        assert_eq!(segments("a/b%63/").as_deref(), Ok(&["a".to_owned(), "bc".to_owned(), String::new()][..]));
        assert_eq!(segments("@s%2fp").as_deref(), Ok(&["@s/p".to_owned()][..]));
        for (path, problem) in [
            ("@s%252fp", "it is escaped twice"),
            ("a%2", "an escape is broken"),
            ("a%", "an escape is broken"),
            ("a%+1", "an escape is broken"),
            ("a%zz", "an escape is broken"),
            ("a%5c", "it contains a backslash"),
            ("a\\b", "it contains a backslash"),
            ("a%3fb", "it contains a query or fragment mark"),
            ("a%00", "it contains a character outside printable ASCII"),
            ("a\0", "it contains a character outside printable ASCII"),
            ("a%0d%0ab", "it contains a character outside printable ASCII"),
            ("a%7f", "it contains a character outside printable ASCII"),
            ("a b", "it contains a character outside printable ASCII"),
            ("%c0%ae", "it contains a character outside printable ASCII"),
            ("\u{ff0e}", "it contains a character outside printable ASCII"),
        ] {
            assert_eq!(segments(path), Err(RequestError::Encoding { problem }), "{path:?}");
        }
        let long = "a".repeat(PATH_BYTES_MAX + 1);
        assert_eq!(segments(&long), Err(RequestError::Encoding { problem: "it is too long" }));
        assert!(segments(&long[1..]).is_ok());
    }
}
