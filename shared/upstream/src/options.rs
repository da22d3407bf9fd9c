//! What an upstream is configured with, and what is refused before anything is sent.

use std::{fmt, time::Duration};

use reqwest::header::HeaderValue;
use touchstone_domain::Ecosystem;
use url::{Host, Url};

use crate::guard::address_literal;

/// One configured registry.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// Whose registry it is.
    pub ecosystem: Ecosystem,
    /// The registry's address; what it is asked for is below this. A missing trailing slash is added.
    pub url: Url,
    /// Where attestations are; `url` if `None`.
    pub attestations_url: Option<Url>,
    /// Origins, beyond that of `url`, that artifact links and redirects may point to.
    pub file_hosts: Vec<Url>,
    /// Bounds.
    pub limits: Limits,
    /// Sent as `Authorization: Bearer` to the origin of `url`, and nowhere else.
    pub bearer: Option<Secret>,
}

/// Bounds of a fetch. All of them hold at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection, with TLS, stands.
    pub connect_timeout: Duration,
    /// Until an answer begins, and between two pieces of a body.
    pub read_timeout: Duration,
    /// A whole metadata request with its retries; for an artifact, from its turn until its body begins.
    pub total_timeout: Duration,
    /// A whole artifact body; also how long an artifact waits for its turn.
    pub artifact_timeout: Duration,
    /// Bytes of a metadata document, unpacked.
    pub metadata_bytes_max: u64,
    /// Bytes of an artifact.
    pub artifact_bytes_max: u64,
    /// Redirects that are followed.
    pub redirects_max: usize,
    /// Times that a request is sent, the first included.
    pub attempts_max: usize,
    /// Requests for documents that run at once.
    pub documents_max: usize,
    /// Artifacts that are fetched at once, bodies included. Apart from the documents: bodies may take long.
    pub artifacts_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(20),
            total_timeout: Duration::from_mins(1),
            artifact_timeout: Duration::from_mins(30),
            metadata_bytes_max: 256 << 20,
            artifact_bytes_max: 8 << 30,
            redirects_max: 5,
            attempts_max: 3,
            documents_max: 64,
            artifacts_max: 64,
        }
    }
}

/// A credential. Never printed, whoever asks.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The header that carries it as a bearer token.
    pub(crate) fn bearer(&self) -> Option<HeaderValue> {
        let token = |byte: u8| byte.is_ascii_graphic();
        if self.0.is_empty() || !self.0.bytes().all(token) {
            return None;
        }
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why an upstream cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An address.
    #[error("upstream.{ecosystem}: {key} {problem}")]
    Address {
        /// Whose upstream.
        ecosystem: Ecosystem,
        /// `url`, `attestations_url` or `file_hosts`.
        key: &'static str,
        /// What is wrong with it.
        problem: AddressProblem,
    },
    /// The bearer token is empty, or holds what cannot stand in a header.
    #[error("upstream.{ecosystem}: the token is empty or holds characters other than printable ASCII")]
    Bearer {
        /// Whose upstream.
        ecosystem: Ecosystem,
    },
    /// Nothing could ever be sent.
    #[error("upstream.{ecosystem}: attempts_max, documents_max and artifacts_max must be at least 1")]
    Limits {
        /// Whose upstream.
        ecosystem: Ecosystem,
    },
    /// The HTTP client cannot be built; the system's certificates cannot be read, for instance.
    #[error("upstream.{ecosystem}: the HTTP client cannot be built")]
    Client {
        /// Whose upstream.
        ecosystem: Ecosystem,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// What is wrong with a configured address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressProblem {
    /// Neither `https`, nor `http` to this machine.
    #[error("must be https; http is for a loopback address or localhost only")]
    Scheme,
    /// A user name or password.
    #[error("must not carry a user name or password; configure a token instead")]
    Userinfo,
    /// A query or a fragment.
    #[error("must not have a query or a fragment")]
    Query,
    /// An IP address that is not of this machine.
    #[error("must name a host; of IP addresses only loopback ones are accepted")]
    Literal,
    /// `host.`, which is another name than `host` to some and the same to others.
    #[error("must name its host without a dot at the end")]
    TrailingDot,
    /// A port that belongs to another protocol.
    #[error("must use port 80, 443 or one above 1023")]
    Port,
    /// A path where only scheme, host and port count.
    #[error("must be an origin, without a path")]
    Path,
}

/// Checks a base address and gives it its trailing slash.
pub(crate) fn base_address(url: &Url) -> Result<Url, AddressProblem> {
    address(url)?;
    let mut url = url.clone();
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Checks the address of a file host, of which only the origin counts.
pub(crate) fn file_host(url: &Url) -> Result<(), AddressProblem> {
    address(url)?;
    if url.path() == "/" { Ok(()) } else { Err(AddressProblem::Path) }
}

fn address(url: &Url) -> Result<(), AddressProblem> {
    let literal = address_literal(url);
    let loopback =
        literal.is_some_and(|address| address.is_loopback()) || url.host_str() == Some("localhost");
    if !(url.scheme() == "https" || url.scheme() == "http" && loopback) {
        return Err(AddressProblem::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressProblem::Userinfo);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(AddressProblem::Query);
    }
    if literal.is_some() && !loopback {
        return Err(AddressProblem::Literal);
    }
    if matches!(url.host(), Some(Host::Domain(name)) if name.ends_with('.')) {
        return Err(AddressProblem::TrailingDot);
    }
    match url.port_or_known_default() {
        Some(80 | 443 | 1024..) => Ok(()),
        Some(_) | None => Err(AddressProblem::Port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Result<String, AddressProblem> {
        base_address(&Url::parse(text).unwrap()).map(String::from)
    }

    #[test]
    fn accepts_https_and_loopback_http_and_adds_the_slash() {
        for (text, kept) in [
            ("https://registry.example", "https://registry.example/"),
            ("https://registry.example/api/npm", "https://registry.example/api/npm/"),
            ("https://registry.example:8443/npm/", "https://registry.example:8443/npm/"),
            ("http://127.0.0.1:4873", "http://127.0.0.1:4873/"),
            ("http://127.0.0.9/", "http://127.0.0.9/"),
            ("http://[::1]:4873/", "http://[::1]:4873/"),
            ("http://localhost:4873/", "http://localhost:4873/"),
            ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ] {
            assert_eq!(base(text).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn refuses_each_with_one_thing_changed() {
        use AddressProblem::*;
        for (text, problem) in [
            ("http://registry.example/", Scheme),
            ("http://localhost.example/", Scheme),
            ("http://10.0.0.1/", Scheme),
            ("http://0.0.0.0:4873/", Scheme),
            ("file:///srv/registry/", Scheme),
            ("gopher://registry.example/", Scheme),
            ("https://user@registry.example/", Userinfo),
            ("https://user:password@registry.example/", Userinfo),
            ("https://registry.example/?token=x", Query),
            ("https://registry.example/#x", Query),
            ("https://10.0.0.1/", Literal),
            ("https://1.0.0.1/", Literal),
            ("https://[2a00::1]/", Literal),
            ("https://registry.example./", TrailingDot),
            ("https://registry.example:22/", Port),
            ("https://registry.example:0/", Port),
            ("http://127.0.0.1:22/", Port),
        ] {
            assert_eq!(base(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn a_file_host_is_an_origin() {
        let check = |text: &str| file_host(&Url::parse(text).unwrap());
        assert_eq!(check("https://files.example"), Ok(()));
        assert_eq!(check("https://files.example/packages/"), Err(AddressProblem::Path));
        assert_eq!(check("http://files.example"), Err(AddressProblem::Scheme));
    }

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2");
        let header = secret.bearer().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer hunter2");
        assert!(!format!("{secret:?} {header:?}").contains("hunter2"));
        for bad in ["", "two words", "line\nbreak", "käse"] {
            assert!(Secret::new(bad).bearer().is_none(), "{bad:?}");
        }
    }
}
