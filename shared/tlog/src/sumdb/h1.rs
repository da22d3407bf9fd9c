//! The `h1:` digest of a list of files.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::Digest as _;
use touchstone_domain::Sha256;

/// Before the base64.
const PREFIX: &str = "h1:";

/// Why there is no `h1:` digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum H1Error {
    /// Not `h1:` and the base64 of a SHA-256.
    #[error("not h1: and the base64 of 32 bytes")]
    Malformed,
    /// The name of a file has a newline, so that it could be read as two.
    #[error("the name of a file has a newline")]
    Newline,
}

impl H1Error {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "h1_malformed",
            Self::Newline => "h1_newline",
        }
    }
}

/// The SHA-256 of a list of files, with their own. Text form: `h1:` and base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct H1(pub Sha256);

impl fmt::Display for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.to_base64())
    }
}

impl FromStr for H1 {
    type Err = H1Error;

    fn from_str(text: &str) -> Result<Self, H1Error> {
        let encoded = text.strip_prefix(PREFIX).filter(|encoded| encoded.len() == 44);
        let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        let digest = decoded.and_then(|bytes| Sha256::from_slice(&bytes).ok());
        digest.map(Self).ok_or(H1Error::Malformed)
    }
}

/// The digest of files, from their names (in a zip, with everything before them) and the SHA-256 of what they hold. The names are
/// sorted by their bytes; they must differ.
pub fn h1_of<N: AsRef<str>>(files: impl IntoIterator<Item = (N, Sha256)>) -> Result<H1, H1Error> {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
    let mut hasher = sha2::Sha256::new();
    for (name, digest) in &files {
        if name.as_ref().contains('\n') {
            return Err(H1Error::Newline);
        }
        hasher.update(format!("{digest}  {}\n", name.as_ref()));
    }
    Ok(H1(Sha256(hasher.finalize().into())))
}
