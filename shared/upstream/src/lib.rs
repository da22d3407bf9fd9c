//! Outbound HTTP behind the egress guard: the only way out of Touchstone to a registry.
//!
//! An [`Upstream`] is one configured registry. It fetches metadata (buffered, gzip decoded, conditional) and artifacts
//! (streamed, exactly the bytes that were sent), within [`Limits`], and follows redirects itself.
//!
//! *Invariant:* no connection is opened but to the exact scheme, host and port of a configured address. [`decide`] says so
//! before every request and every redirect; the resolver hands out checked addresses only (threats.md KD12).
//!
//! *Invariant:* credentials go to the origin of the configured `url`, and never again after a redirect left it.
//!
//! *Invariant:* an error is safe to show to anybody: it names origins, never paths, queries or credentials.
//!
//! *Invariant:* a body that ended early, was encoded, or is a web page never looks like an artifact.

mod body;
mod breaker;
mod error;
mod exchange;
mod guard;
mod mirror;
mod options;
mod range;
mod resolver;
mod retry;
#[cfg(test)]
mod testserver;
mod upstream;

pub use body::{ArtifactBody, Framing};
pub use error::{FetchError, Phase};
pub use guard::{AllowedOrigins, EgressRefusal, decide, decide_address};
pub use mirror::{Mirror, MirrorError, Posted};
pub use options::{AddressProblem, ConfigError, Limits, Secret, UpstreamOptions};
pub use range::SpecialRange;
pub use upstream::{MetadataDocument, MetadataReply, Upstream, Validators};
