//! A bundle as its JSON is written, made into what the library verifies. It is read here, once, so that every refusal says what
//! it is, base64 has one form, and no second parser sees the bytes.

mod shape;

use jiff::Timestamp;
use sigstore_verify::types::{
    Bundle, CertificateContent, CheckpointData, DsseEnvelope, DsseSignature, HashAlgorithm, InclusionPromise,
    InclusionProof, KeyId, KindVersion, LogId, LogIndex, MediaType, MessageDigest, MessageSignature,
    PublicKeyIdentifier, Rfc3161Timestamp, Sha256Hash, SignatureContent, TimestampVerificationData,
    TransparencyLogEntry, VerificationMaterial, VerificationMaterialContent, X509Certificate,
};

use crate::{
    JsonLimits, Problem, Refused,
    strict_json::{Object, Text, read, strict_text},
};
use shape::{Entry, Envelope, Int, Material, Message, Proof, RawCertificate, WireBundle};

/// The longest certificate, in bytes.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// The longest chain. npm's of 2023 had three.
const CHAIN_MAX: usize = 8;
/// The most log entries.
pub(crate) const ENTRIES_MAX: usize = 8;
/// The most RFC 3161 timestamps.
const TIMESTAMPS_MAX: usize = 8;
/// The longest timestamp token, in bytes.
const TIMESTAMP_BYTES_MAX: usize = 64 * 1024;
/// The longest checkpoint with its signatures, in bytes; and the most signatures, each of which may be tried.
const CHECKPOINT_BYTES_MAX: usize = 16 * 1024;
/// The most signatures on a checkpoint.
const COSIGNATURES_MAX: usize = 32;
/// The longest path in a tree of 2^63 leaves.
const PATH_MAX: usize = 64;

fn malformed(detail: impl AsRef<str>) -> Refused {
    Refused::new(Problem::Malformed, detail)
}

fn at_most(number: usize, max: usize, what: &str) -> Result<(), Refused> {
    if number > max {
        return Err(Refused::new(Problem::Limit, format!("{number} {what}, and at most {max} are read")));
    }
    Ok(())
}

/// Reads a bundle strictly. Nothing is verified.
pub(crate) fn parse(bytes: &[u8]) -> Result<Bundle, Refused> {
    let wire: WireBundle<'_> = read(strict_text(bytes, JsonLimits::BUNDLE)?, "the bundle")?;
    let media_type = media_type(wire.media_type.as_ref())?;
    let content = match (wire.message_signature, wire.dsse_envelope) {
        (Some(Object(message)), None) => SignatureContent::MessageSignature(message.into_library()?),
        (None, Some(Object(envelope))) => SignatureContent::DsseEnvelope(envelope.into_library()?),
        (Some(_), Some(_)) | (None, None) => {
            return Err(malformed("a bundle has a message signature or an envelope, and not both"));
        }
    };
    let material = wire.verification_material.0.into_library(media_type)?;
    Ok(Bundle::new(media_type, material, content))
}

fn media_type(text: Option<&Text<'_>>) -> Result<MediaType, Refused> {
    let text = text.map(|text| text.0.as_ref()).unwrap_or_default();
    match text {
        "application/vnd.dev.sigstore.bundle+json;version=0.1" => Ok(MediaType::Bundle0_1),
        "application/vnd.dev.sigstore.bundle+json;version=0.2" => Ok(MediaType::Bundle0_2),
        "application/vnd.dev.sigstore.bundle+json;version=0.3"
        | "application/vnd.dev.sigstore.bundle.v0.3+json" => Ok(MediaType::Bundle0_3),
        other => Err(Refused::new(Problem::UnsupportedVersion, format!("media type {other:?}"))),
    }
}

impl Message<'_> {
    fn into_library(self) -> Result<MessageSignature, Refused> {
        let message = MessageSignature::new(self.signature.0.into());
        let Some(Object(digest)) = self.message_digest else { return Ok(message) };
        let algorithm = match digest.algorithm.0.as_ref() {
            "SHA2_256" => HashAlgorithm::Sha2256,
            "SHA2_384" => HashAlgorithm::Sha2384,
            "SHA2_512" => HashAlgorithm::Sha2512,
            other => return Err(Refused::new(Problem::UnsupportedKey, format!("digest {other:?}"))),
        };
        Ok(message.with_message_digest(MessageDigest::new(algorithm, digest.digest.0.into())))
    }
}

impl Envelope<'_> {
    fn into_library(self) -> Result<DsseEnvelope, Refused> {
        at_most(self.signatures.len(), 1, "signatures")?;
        let Some(Object(signature)) = self.signatures.into_iter().next() else {
            return Err(malformed("an envelope has one signature"));
        };
        let keyid = KeyId::new(signature.keyid.map(|text| text.0.into_owned()).unwrap_or_default());
        let signature = DsseSignature::new(signature.sig.0.into(), keyid);
        Ok(DsseEnvelope::new(self.payload_type.0, self.payload.0.into(), signature))
    }
}

impl RawCertificate {
    fn der(self) -> Result<Vec<u8>, Refused> {
        at_most(self.raw_bytes.0.len(), CERTIFICATE_BYTES_MAX, "bytes of certificate")?;
        Ok(self.raw_bytes.0)
    }
}

impl Material<'_> {
    fn into_library(self, media_type: MediaType) -> Result<VerificationMaterial, Refused> {
        let content = match (self.certificate, self.x509_certificate_chain, self.public_key) {
            (Some(Object(leaf)), None, None) => {
                VerificationMaterialContent::Certificate(CertificateContent::new(leaf.der()?.into()))
            }
            (None, Some(_), None) if media_type == MediaType::Bundle0_3 => {
                return Err(malformed("a bundle v0.3 has one certificate, and no chain"));
            }
            (None, Some(Object(chain)), None) => {
                at_most(chain.certificates.len(), CHAIN_MAX, "certificates")?;
                if chain.certificates.is_empty() {
                    return Err(malformed("the certificate chain is empty"));
                }
                let certificates =
                    chain.certificates.into_iter().map(|c| Ok(X509Certificate::new(c.0.der()?.into())));
                let certificates = certificates.collect::<Result<_, Refused>>()?;
                VerificationMaterialContent::X509CertificateChain { certificates }
            }
            (None, None, Some(Object(key))) => {
                VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new(key.hint.0.into_owned()))
            }
            _ => return Err(malformed("a bundle has one certificate, chain or key hint")),
        };
        let entries = self.tlog_entries.unwrap_or_default();
        at_most(entries.len(), ENTRIES_MAX, "log entries")?;
        let entries = entries.into_iter().map(|entry| entry.0.into_library()).collect::<Result<_, _>>()?;
        let timestamps =
            self.timestamp_verification_data.and_then(|data| data.0.rfc3161_timestamps).unwrap_or_default();
        at_most(timestamps.len(), TIMESTAMPS_MAX, "timestamps")?;
        let timestamps = timestamps.into_iter().map(|Object(timestamp)| {
            at_most(timestamp.signed_timestamp.0.len(), TIMESTAMP_BYTES_MAX, "bytes of timestamp")?;
            Ok(Rfc3161Timestamp::new(timestamp.signed_timestamp.0.into()))
        });
        let timestamps = TimestampVerificationData::new(timestamps.collect::<Result<_, Refused>>()?);
        Ok(VerificationMaterial::new(content)
            .with_tlog_entries(entries)
            .with_timestamp_verification_data(timestamps))
    }
}

fn index(int: Option<&Int>) -> Result<LogIndex, Refused> {
    let number = int.map_or(0, |int| int.0);
    LogIndex::try_from(number).map_err(|_| malformed(format!("log index {number}")))
}

fn hash(bytes: &[u8], what: &str) -> Result<Sha256Hash, Refused> {
    Sha256Hash::try_from(bytes).map_err(|_| malformed(format!("{what} of {} bytes", bytes.len())))
}

impl Entry<'_> {
    fn into_library(self) -> Result<TransparencyLogEntry, Refused> {
        let Object(kind) = self.kind_version;
        let kind = match (kind.kind.0.as_ref(), kind.version.0.as_ref()) {
            ("hashedrekord", "0.0.1") => KindVersion::HashedRekordV001,
            ("hashedrekord", "0.0.2") => KindVersion::HashedRekordV002,
            ("dsse", "0.0.1") => KindVersion::DsseV001,
            ("intoto", "0.0.2") => KindVersion::IntotoV002,
            (kind, version) => {
                return Err(Refused::new(
                    Problem::UnsupportedVersion,
                    format!("log entry {kind:?} {version:?}"),
                ));
            }
        };
        let Object(log_id) = self.log_id;
        hash(&log_id.key_id.0, "a log id")?;
        let body = self.canonicalized_body.0.into();
        let log_id = LogId::new(log_id.key_id.0.into());
        let mut entry = TransparencyLogEntry::new(index(self.log_index.as_ref())?, log_id, kind, body);
        if let Some(time) = integrated_time(self.integrated_time.as_ref())? {
            entry = entry.with_integrated_time(time);
        }
        if let Some(Object(promise)) = self.inclusion_promise {
            entry =
                entry.with_inclusion_promise(InclusionPromise::new(promise.signed_entry_timestamp.0.into()));
        }
        if let Some(Object(proof)) = self.inclusion_proof {
            entry = entry.with_inclusion_proof(proof.into_library()?);
        }
        Ok(entry)
    }
}

/// Zero is how protobuf writes absence.
fn integrated_time(int: Option<&Int>) -> Result<Option<Timestamp>, Refused> {
    match int.map(|int| int.0) {
        None | Some(0) => Ok(None),
        Some(seconds) => match Timestamp::from_second(seconds) {
            Ok(time) if seconds > 0 => Ok(Some(time)),
            Ok(_) | Err(_) => Err(Refused::new(Problem::IntegratedTime, format!("{seconds} s"))),
        },
    }
}

impl Proof<'_> {
    fn into_library(self) -> Result<InclusionProof, Refused> {
        let hashes = self.hashes.unwrap_or_default();
        at_most(hashes.len(), PATH_MAX, "hashes in an inclusion proof")?;
        let hashes = hashes.iter().map(|bytes| hash(&bytes.0, "a hash")).collect::<Result<_, _>>()?;
        let tree_size = u64::try_from(self.tree_size.0).map_err(|_| malformed("a negative tree size"))?;
        let note = self.checkpoint.and_then(|note| note.0.envelope).map(|text| text.0).unwrap_or_default();
        at_most(note.len(), CHECKPOINT_BYTES_MAX, "bytes of checkpoint")?;
        let checkpoint =
            CheckpointData::new(note).map_err(|e| Refused::new(Problem::Checkpoint, e.to_string()))?;
        at_most(
            checkpoint.checkpoint().map_or(0, |c| c.signatures().len()),
            COSIGNATURES_MAX,
            "cosignatures",
        )?;
        let root = hash(&self.root_hash.0, "a root hash")?;
        Ok(InclusionProof::new(index(self.log_index.as_ref())?, root, tree_size, hashes, checkpoint))
    }
}

#[cfg(test)]
mod tests;
