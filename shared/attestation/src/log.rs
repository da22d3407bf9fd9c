//! What a transparency log says about a signature, and what of it must hold beside the proofs that the library verifies.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_verify::types::{
    Bundle, Checkpoint, InclusionProof, KindVersion, MediaType, SignatureContent, TimeRange,
    TransparencyLogEntry,
};

use crate::{
    JsonLimits, Problem, Refused,
    strict_json::{Text, read, strict_text},
};

/// How strongly the log's entries are evidenced. The bundle's media type is unsigned, so an old bundle form may hide a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceLevel {
    /// Some entry has only the log's signed promise (bundles v0.1).
    Promise,
    /// Every entry has an inclusion proof up to a checkpoint that its log signed.
    Proof,
}

/// The authenticated facts of one log entry; what a bundle says without proof is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The log's id in the trust root: standard base64.
    pub log_id: String,
    /// Its address in the trust root.
    pub log_url: String,
    /// The entry's kind and version, such as `dsse/0.0.1`.
    pub kind: String,
    /// The position in the whole log: by the promise (Rekor v1) or the proof (Rekor v2).
    pub log_index: Option<u64>,
    /// The position in the tree of the checkpoint, by the proof.
    pub leaf_index: Option<u64>,
    /// The number of leaves of that tree.
    pub tree_size: Option<u64>,
    /// When the log took it, by the promise; absent for Rekor v2.
    pub integrated_time: Option<Timestamp>,
}

/// A log of the trust root.
pub(crate) struct Log {
    /// SHA-256 of its key, or for Rekor v2 of its name and key. The first four bytes are the hint in checkpoints.
    pub(crate) id: [u8; 32],
    pub(crate) id_base64: String,
    pub(crate) url: String,
    /// When its key counts, both ends included.
    pub(crate) window: TimeRange,
}

impl Log {
    /// The host of its address with the port, which is the name that it signs checkpoints with.
    fn name(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_scheme, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    /// Rekor v1 appends the number of the tree.
    fn is_origin(&self, origin: &str) -> bool {
        match origin.strip_prefix(self.name()) {
            None => false,
            Some("") => true,
            Some(rest) => {
                rest.strip_prefix(" - ").is_some_and(|tree| tree.bytes().all(|b| b.is_ascii_digit()))
            }
        }
    }
}

/// What must hold of every entry before its proofs are worth verifying.
pub(crate) fn check_entries(bundle: &Bundle, logs: &[Log]) -> Result<(), Refused> {
    let entries = &bundle.verification_material.tlog_entries;
    if entries.is_empty() {
        return Err(Refused::new(Problem::LogInclusion, "there is no log entry"));
    }
    for entry in entries {
        let log = log_of(entry, logs)?;
        check_evidence(entry, bundle.media_type)?;
        if let Some(proof) = &entry.inclusion_proof {
            check_proof(entry, proof, log, logs)?;
        }
        check_kind(entry, &bundle.content)?;
    }
    Ok(())
}

fn log_of<'l>(entry: &TransparencyLogEntry, logs: &'l [Log]) -> Result<&'l Log, Refused> {
    let id = &entry.log_id.key_id;
    let found = logs.iter().find(|log| log.id == id.as_bytes());
    found.ok_or_else(|| Refused::new(Problem::UnknownLog, id.to_base64()))
}

/// Bundles v0.1 promise inclusion; all others prove it, and Rekor v2 cannot promise.
fn check_evidence(entry: &TransparencyLogEntry, media_type: MediaType) -> Result<(), Refused> {
    let promise_is_enough =
        media_type == MediaType::Bundle0_1 && entry.kind_version != KindVersion::HashedRekordV002;
    if promise_is_enough && entry.inclusion_promise.is_none() {
        return Err(Refused::new(Problem::InclusionPromise, "an entry of a bundle v0.1 has no promise"));
    }
    if !promise_is_enough && entry.inclusion_proof.is_none() {
        return Err(Refused::new(Problem::LogInclusion, "an entry has no inclusion proof"));
    }
    Ok(())
}

/// The library takes a checkpoint that any trusted log signed, and does not compare sizes.
fn check_proof(
    entry: &TransparencyLogEntry,
    proof: &InclusionProof,
    log: &Log,
    logs: &[Log],
) -> Result<(), Refused> {
    let refuse = |detail: &str| Err(Refused::new(Problem::Checkpoint, detail));
    let Some(checkpoint) = proof.checkpoint.checkpoint() else { return refuse("there is no checkpoint") };
    if !log.is_origin(checkpoint.origin()) {
        return refuse("its origin is not the log");
    }
    let mut signers = trusted_signers(checkpoint, logs).peekable();
    if signers.peek().is_none() {
        return refuse("no trusted log signed it");
    }
    if signers.any(|signer| signer.id != log.id) {
        return refuse("another log signed it");
    }
    let index = if is_rekor_v2(entry) {
        entry.log_index.get()
    } else {
        if proof.tree_size != checkpoint.tree_size() {
            return refuse("its tree has another size than the proof's");
        }
        if proof.root_hash != *checkpoint.root_hash() {
            return refuse("its tree has another root than the proof's");
        }
        proof.log_index.get()
    };
    if index >= checkpoint.tree_size() {
        return Err(Refused::new(Problem::LogInclusion, "the index is not in the tree"));
    }
    Ok(())
}

fn trusted_signers<'l>(checkpoint: &'l Checkpoint, logs: &'l [Log]) -> impl Iterator<Item = &'l Log> {
    checkpoint.signatures().iter().flat_map(move |signature| {
        logs.iter().filter(move |log| log.id.starts_with(signature.key_id.as_bytes()))
    })
}

fn is_rekor_v2(entry: &TransparencyLogEntry) -> bool {
    entry.kind_version == KindVersion::HashedRekordV002
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    api_version: Text<'a>,
}

/// The log's key must have been valid whenever the signature was made. The library asks that of promises only, not of checkpoints.
pub(crate) fn check_windows(bundle: &Bundle, logs: &[Log], signed_at: &[Timestamp]) -> Result<(), Refused> {
    for entry in &bundle.verification_material.tlog_entries {
        let log = log_of(entry, logs)?;
        if let Some(time) = signed_at.iter().find(|time| !log.window.contains(**time)) {
            return Err(Refused::new(Problem::Checkpoint, format!("the log's key was not valid at {time}")));
        }
    }
    Ok(())
}

/// The kind must be one that logs this sort of signature, and the logged body one reading, and of the kind that the bundle says.
fn check_kind(entry: &TransparencyLogEntry, content: &SignatureContent) -> Result<(), Refused> {
    let body: Body<'_> =
        read(strict_text(entry.canonicalized_body.as_bytes(), JsonLimits::BUNDLE)?, "the log entry")?;
    let said = entry.kind_version;
    let of_bytes = matches!(content, SignatureContent::MessageSignature(_));
    let fits = match said {
        KindVersion::HashedRekordV001 => of_bytes,
        KindVersion::DsseV001 | KindVersion::IntotoV002 => !of_bytes,
        // The second log's takes both. What the library does not know, it refuses.
        _ => true,
    };
    if !fits {
        let detail = format!("{} does not log such a signature", kind(said));
        return Err(Refused::new(Problem::LogEntryMismatch, detail));
    }
    if body.kind.0 == said.kind() && body.api_version.0 == said.version() {
        return Ok(());
    }
    let detail = format!("logged is {:?} {:?}, not {}", body.kind.0, body.api_version.0, kind(said));
    Err(Refused::new(Problem::LogEntryMismatch, detail))
}

fn kind(kind: KindVersion) -> String {
    format!("{}/{}", kind.kind(), kind.version())
}

/// The facts of the entries of a bundle that was verified.
pub(crate) fn facts(bundle: &Bundle, logs: &[Log]) -> Result<(EvidenceLevel, Vec<LogEntry>), Refused> {
    let entries = &bundle.verification_material.tlog_entries;
    let proven = entries.iter().all(|entry| entry.inclusion_proof.is_some());
    let level = if proven { EvidenceLevel::Proof } else { EvidenceLevel::Promise };
    let facts = entries.iter().map(|entry| {
        let log = log_of(entry, logs)?;
        let v2 = is_rekor_v2(entry);
        let promised = !v2 && entry.inclusion_promise.is_some();
        let proof = entry.inclusion_proof.as_ref();
        let leaf_index = proof.map(|proof| if v2 { entry.log_index } else { proof.log_index }.get());
        Ok(LogEntry {
            log_id: log.id_base64.clone(),
            log_url: log.url.clone(),
            kind: kind(entry.kind_version),
            log_index: (promised || v2).then_some(entry.log_index.get()),
            leaf_index,
            tree_size: proof.and_then(|proof| proof.checkpoint.checkpoint()).map(Checkpoint::tree_size),
            integrated_time: entry.integrated_time.filter(|_| promised),
        })
    });
    Ok((level, facts.collect::<Result<_, Refused>>()?))
}
