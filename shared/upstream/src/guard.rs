//! The egress guard: which addresses may be contacted. Pure decisions; [`crate::Upstream`] asks before each request.
//!
//! *Invariant:* comparison is of exact origins as the URL standard normalises them (case, IDN, default ports, and every
//! spelling of an IP address). `host` and `host.` are two names.

use std::net::IpAddr;

use url::{Host, Origin, Url};

use crate::range::{SpecialRange, special_range};

/// Origins (scheme, host, port) that may be contacted for one purpose.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Vec<Origin>);

impl AllowedOrigins {
    /// The origins of these addresses.
    pub fn of<'a>(urls: impl IntoIterator<Item = &'a Url>) -> Self {
        Self(urls.into_iter().map(Url::origin).collect())
    }

    /// The same and one more: that of `url`.
    #[must_use]
    pub fn with(&self, url: &Url) -> Self {
        Self(self.0.iter().cloned().chain([url.origin()]).collect())
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter()
    }

    fn contains(&self, url: &Url) -> bool {
        self.0.contains(&url.origin())
    }
}

/// Why an address is not contacted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressRefusal {
    /// Neither `https` nor `http`.
    #[error("refused to contact an address of scheme {scheme:?}")]
    Scheme {
        /// The scheme, shortened.
        scheme: String,
    },
    /// The address carries a user name or a password.
    #[error("refused to contact {origin}: the address carries credentials")]
    Userinfo {
        /// Scheme, host and port.
        origin: String,
    },
    /// Not one of the configured origins.
    #[error("refused to contact {origin}: it is not a configured upstream or file host")]
    Origin {
        /// Scheme, host and port.
        origin: String,
    },
    /// An address that is not public, and not configured.
    #[error("refused to contact {address}: a {range} address that is not a configured upstream")]
    Address {
        /// The address.
        address: IpAddr,
        /// What makes it special.
        range: SpecialRange,
    },
}

/// Whether `url` may be contacted: scheme, userinfo, then the exact origin. Address literals that are not configured
/// are reported as what they are.
pub fn decide(url: &Url, allowed: &AllowedOrigins) -> Result<(), EgressRefusal> {
    // First, because the origin of a blob: address is that of the address inside it.
    if !matches!(url.scheme(), "https" | "http") {
        return Err(EgressRefusal::Scheme { scheme: url.scheme().chars().take(20).collect() });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EgressRefusal::Userinfo { origin: shown_origin(url) });
    }
    if allowed.contains(url) {
        return Ok(());
    }
    if let Some(address) = address_literal(url) {
        decide_address(address, false)?;
    }
    Err(EgressRefusal::Origin { origin: shown_origin(url) })
}

/// Whether a connection to `address` may be opened. A configured origin may be anywhere; others only in public ranges.
pub fn decide_address(address: IpAddr, origin_is_configured: bool) -> Result<(), EgressRefusal> {
    match special_range(address) {
        Some(range) if !origin_is_configured => Err(EgressRefusal::Address { address, range }),
        Some(_) | None => Ok(()),
    }
}

/// The address, if the host is one.
pub(crate) fn address_literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
    }
}

/// Scheme, host and port: all that an error or a log line says of an address.
pub(crate) fn shown_origin(url: &Url) -> String {
    const CHARACTERS_MAX: usize = 300;
    url.origin().ascii_serialization().chars().take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
