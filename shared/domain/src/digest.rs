//! Digests as arrays, never as strings.

use std::{borrow::Cow, fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

/// A hash algorithm that a registry may declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Broken; recorded, never sufficient.
    Md5,
    /// Broken; recorded, never sufficient.
    Sha1,
    /// Strong.
    Sha256,
    /// Strong.
    Sha384,
    /// Strong.
    Sha512,
}

/// How far an algorithm may be trusted.
impl Algorithm {
    /// The length of its output, in bytes.
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Whether a match is evidence of identity.
    pub const fn is_strong(self) -> bool {
        match self {
            Self::Md5 | Self::Sha1 => false,
            Self::Sha256 | Self::Sha384 | Self::Sha512 => true,
        }
    }

    /// The lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A digest of one of the known algorithms.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Digest {
    /// 16 bytes.
    Md5([u8; 16]),
    /// 20 bytes.
    Sha1([u8; 20]),
    /// 32 bytes.
    Sha256([u8; 32]),
    /// 48 bytes.
    Sha384([u8; 48]),
    /// 64 bytes.
    Sha512([u8; 64]),
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not the length that the algorithm has.
    #[error("a {algorithm} digest has {expected} bytes, not {found}")]
    Length {
        /// The algorithm asked for.
        algorithm: Algorithm,
        /// Its length in bytes.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// Not lower-case hexadecimal.
    #[error("not lower-case hexadecimal")]
    Hex,
}

impl Digest {
    /// Takes exactly the number of bytes that the algorithm has.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, DigestError> {
        let length =
            |_| DigestError::Length { algorithm, expected: algorithm.size_bytes(), found: bytes.len() };
        Ok(match algorithm {
            Algorithm::Md5 => Self::Md5(bytes.try_into().map_err(length)?),
            Algorithm::Sha1 => Self::Sha1(bytes.try_into().map_err(length)?),
            Algorithm::Sha256 => Self::Sha256(bytes.try_into().map_err(length)?),
            Algorithm::Sha384 => Self::Sha384(bytes.try_into().map_err(length)?),
            Algorithm::Sha512 => Self::Sha512(bytes.try_into().map_err(length)?),
        })
    }

    /// Parses lower-case hexadecimal of the right length, and nothing else (threats.md I-04).
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Result<Self, DigestError> {
        let bytes = lower_hex(text).ok_or(DigestError::Hex)?;
        Self::from_bytes(algorithm, &bytes)
    }

    /// The algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Md5(_) => Algorithm::Md5,
            Self::Sha1(_) => Algorithm::Sha1,
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha384(_) => Algorithm::Sha384,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Md5(bytes) => bytes,
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
            Self::Sha384(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }

    /// Lower-case hexadecimal, without the algorithm.
    pub fn to_hex(&self) -> String {
        hex::encode(self.as_bytes())
    }
}

fn lower_hex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len() / 2];
    decode(text, &mut bytes).then_some(bytes)
}

/// Whether a text is bytes in lower-case hexadecimal, as many as there is room for.
fn decode(text: &str, bytes: &mut [u8]) -> bool {
    let mut seen = 0;
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = [HEX_VALUES[usize::from(digits[0])], HEX_VALUES[usize::from(digits[1])]];
        *byte = high << 4 | low;
        seen |= high | low;
    }
    text.len() == 2 * bytes.len() && seen < 16
}

/// What each character stands for in lower-case hexadecimal; more than 15 if for nothing.
const HEX_VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not copied if it need not be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

macro_rules! strong_digest {
    ($(#[$doc:meta])* $name:ident, $size:literal, $hasher:ty, $algorithm:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// Hashes bytes that are already in memory.
            pub fn of(bytes: impl AsRef<[u8]>) -> Self {
                Self(<$hasher>::digest(bytes.as_ref()).into())
            }

            /// Takes exactly the bytes of a digest.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, DigestError> {
                let length =
                    |_| DigestError::Length { algorithm: $algorithm, expected: $size, found: bytes.len() };
                bytes.try_into().map(Self).map_err(length)
            }

            /// Writes into a buffer, since `hex::encode` goes character by character.
            fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
                let mut text = [0; 2 * $size];
                hex::encode_to_slice(self.0, &mut text).expect("twice as long");
                take(str::from_utf8(&text).expect("hexadecimal digits"))
            }

            /// The standard base64 form, as SRI writes it.
            pub fn to_base64(&self) -> String {
                STANDARD.encode(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.with_text(|text| f.write_str(text))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.with_text(|text| serializer.serialize_str(text))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Text(text) = Text::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{self}", $algorithm)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                let mut bytes = [0; $size];
                if decode(text, &mut bytes) {
                    return Ok(Self(bytes));
                }
                // says why not
                Self::from_slice(&lower_hex(text).ok_or(DigestError::Hex)?)
            }
        }
    };
}

strong_digest!(
    /// SHA-256: the key of blobs and artifacts. Text form: 64 lower-case hexadecimal digits.
    Sha256, 32, sha2::Sha256, Algorithm::Sha256
);
strong_digest!(
    /// SHA-512, kept beside the SHA-256 of every artifact. Text form: 128 lower-case hexadecimal digits.
    Sha512, 64, sha2::Sha512, Algorithm::Sha512
);

impl From<Sha256> for Digest {
    fn from(digest: Sha256) -> Self {
        Self::Sha256(digest.0)
    }
}

impl From<Sha512> for Digest {
    fn from(digest: Sha512) -> Self {
        Self::Sha512(digest.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_hex_of_the_right_length_is_a_digest() {
        let text = Sha256::of(b"x").to_string();
        assert_eq!(text.parse::<Sha256>(), Ok(Sha256::of(b"x")));
        assert_eq!(text.to_uppercase().parse::<Sha256>(), Err(DigestError::Hex));
        assert_eq!(format!(" {text}").parse::<Sha256>(), Err(DigestError::Hex));
        assert_eq!(format!("sha256:{text}").parse::<Sha256>(), Err(DigestError::Hex));
        assert_eq!(
            text[..62].parse::<Sha256>(),
            Err(DigestError::Length { algorithm: Algorithm::Sha256, expected: 32, found: 31 })
        );
        for character in (0..=u8::MAX).map(char::from) {
            let digits = format!("{}{character}", &text[..63]);
            let expected = if "0123456789abcdef".contains(character) {
                Ok(digits.clone())
            } else {
                Err(DigestError::Hex)
            };
            assert_eq!(digits.parse().map(|digest: Sha256| digest.to_string()), expected, "{character:?}");
        }
        assert_eq!(Digest::from_hex(Algorithm::Sha256, &text), Ok(Sha256::of(b"x").into()));
        assert!(Digest::from_hex(Algorithm::Sha512, &text).is_err());
    }

    #[test]
    fn in_json_a_digest_is_its_text() {
        let (digest, text) = (Sha256::of(b"x"), format!("\"{}\"", Sha256::of(b"x")));
        assert_eq!(serde_json::to_string(&digest).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Sha256>(&text).expect("a digest"), digest);
        assert_eq!(serde_json::from_str::<Sha256>(&text.replace('2', "\\u0032")).expect("a digest"), digest);
        let refused = |json: &str| serde_json::from_str::<Sha256>(json).expect_err("refused").to_string();
        assert_eq!(refused(&text.to_uppercase()), "not lower-case hexadecimal");
        assert_eq!(refused("\"00\""), "a sha256 digest has 32 bytes, not 1");
        assert_eq!(refused("1"), "invalid type: integer `1`, expected a string at line 1 column 1");
    }
}
