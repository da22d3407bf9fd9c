//! The JSON of a bundle, field by field.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de::Visitor};

use crate::strict_json::{Object, Text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireBundle<'a> {
    #[serde(borrow)]
    pub(super) media_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) verification_material: Object<Material<'a>>,
    #[serde(borrow)]
    pub(super) message_signature: Option<Object<Message<'a>>>,
    #[serde(borrow)]
    pub(super) dsse_envelope: Option<Object<Envelope<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Material<'a> {
    pub(super) certificate: Option<Object<RawCertificate>>,
    pub(super) x509_certificate_chain: Option<Object<Chain>>,
    #[serde(borrow)]
    pub(super) public_key: Option<Object<Hint<'a>>>,
    #[serde(borrow)]
    pub(super) tlog_entries: Option<Vec<Object<Entry<'a>>>>,
    pub(super) timestamp_verification_data: Option<Object<Timestamps>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCertificate {
    pub(super) raw_bytes: Base64,
}

#[derive(Deserialize)]
pub(super) struct Chain {
    pub(super) certificates: Vec<Object<RawCertificate>>,
}

#[derive(Deserialize)]
pub(super) struct Hint<'a> {
    #[serde(borrow)]
    pub(super) hint: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timestamps {
    pub(super) rfc3161_timestamps: Option<Vec<Object<SignedTimestamp>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignedTimestamp {
    pub(super) signed_timestamp: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    pub(super) log_index: Option<Int>,
    pub(super) log_id: Object<KeyIdOfLog>,
    #[serde(borrow)]
    pub(super) kind_version: Object<Kind<'a>>,
    pub(super) integrated_time: Option<Int>,
    pub(super) inclusion_promise: Option<Object<Promise>>,
    #[serde(borrow)]
    pub(super) inclusion_proof: Option<Object<Proof<'a>>>,
    pub(super) canonicalized_body: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyIdOfLog {
    pub(super) key_id: Base64,
}

#[derive(Deserialize)]
pub(super) struct Kind<'a> {
    #[serde(borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) version: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Promise {
    pub(super) signed_entry_timestamp: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proof<'a> {
    pub(super) log_index: Option<Int>,
    pub(super) root_hash: Base64,
    pub(super) tree_size: Int,
    pub(super) hashes: Option<Vec<Base64>>,
    #[serde(borrow)]
    pub(super) checkpoint: Option<Object<Note<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct Note<'a> {
    #[serde(borrow)]
    pub(super) envelope: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) message_digest: Option<Object<Digest<'a>>>,
    pub(super) signature: Base64,
}

#[derive(Deserialize)]
pub(super) struct Digest<'a> {
    #[serde(borrow)]
    pub(super) algorithm: Text<'a>,
    pub(super) digest: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) payload_type: Text<'a>,
    pub(super) payload: Base64,
    #[serde(borrow)]
    pub(super) signatures: Vec<Object<DsseSig<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct DsseSig<'a> {
    pub(super) sig: Base64,
    #[serde(borrow)]
    pub(super) keyid: Option<Text<'a>>,
}

/// Bytes in standard base64 with padding, the one form that is accepted.
pub(super) struct Base64(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        STANDARD.decode(text.0.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A 64-bit integer, which protobuf's JSON writes as a string or a number.
pub(super) struct Int(pub(super) i64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Int;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit integer")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Int, E> {
                Ok(Int(number))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Int, E> {
                i64::try_from(number).map(Int).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Int, E> {
                // `parse` takes a leading plus and zeros.
                let number: i64 = text.parse().map_err(E::custom)?;
                if number.to_string() == text {
                    Ok(Int(number))
                } else {
                    Err(E::custom("not a plain integer"))
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}
