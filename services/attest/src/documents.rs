//! The document of attestations, fetched by the coordinate and kept as evidence before anybody judges it.
//!
//! *Invariant:* the address is built from the coordinate. An address in metadata is never asked for (threats.md P-16).
//!
//! *Invariant:* only an upstream that answers that there is none makes it absent. Whatever else goes wrong is tried again.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::json;
use touchstone_domain::{ArtifactId, Ecosystem, Evidence, EvidenceKind, Sha256};
use touchstone_ecosystems::{UpstreamBase, UpstreamPath, npm, pypi};
use touchstone_store::{EVIDENCE_MAX, IncidentKind, NewIncident, StoreError};
use touchstone_upstream::{FetchError, Framing, MetadataDocument, MetadataReply, Upstream, Validators};
use touchstone_worker::{CheckError, Job, blocking};

use crate::check::AttestCheck;

/// The largest document of attestations, in bytes.
pub const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What the upstream answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A document.
    Document {
        /// Its digest, by which it is kept.
        sha256: Sha256,
        /// Its bytes.
        bytes: Bytes,
    },
    /// There is none.
    Absent,
    /// More than is read.
    TooLarge,
}

/// Where the attestations of an artifact are; `None` where an ecosystem has none.
fn path(id: &ArtifactId) -> Option<UpstreamPath> {
    match id.ecosystem {
        Ecosystem::Npm => Some(npm::attestation::path(&id.package, &id.version)),
        Ecosystem::Pypi => Some(pypi::attestation::path(&id.package, &id.version, &id.file)),
        Ecosystem::Cargo | Ecosystem::Go => None,
    }
}

impl AttestCheck {
    /// Asks the upstream. What it no longer has, and once gave us for this artifact, still proves what it proved.
    pub(crate) async fn document(&self, job: &Job) -> Result<Answer, CheckError> {
        let id = &job.facts.id;
        let upstream = self.upstream(id.ecosystem)?;
        match fetch(upstream, id).await {
            Err(error) => {
                self.tell_of_egress(job, &error).await;
                Err(unavailable(error))
            }
            Ok(Fetched::Document(document)) => {
                let document = blocking(move || usable(document)).await??;
                self.keep(job, document).await
            }
            Ok(Fetched::TooLarge) => Ok(Answer::TooLarge),
            Ok(Fetched::Absent) => {
                let kept = job.facts.evidence.iter().rev().find(|e| e.kind == EvidenceKind::Attestations);
                let Some(kept) = kept else { return Ok(Answer::Absent) };
                tracing::warn!(artifact.id = %job.facts.artifact, "the upstream withdrew attestations; those on record are used");
                let bytes = job.blobs.read(kept.sha256, DOCUMENT_BYTES_MAX).await.map_err(|error| {
                    CheckError::retry_because("the attestations on record cannot be read", error)
                })?;
                Ok(Answer::Document { sha256: kept.sha256, bytes })
            }
        }
    }

    /// An upstream that sends us elsewhere is worth a look.
    async fn tell_of_egress(&self, job: &Job, error: &FetchError) {
        let FetchError::Egress(_) = error else { return };
        let facts = json!({ "found_by": "attest", "problem": error.to_string() });
        let kind = IncidentKind::EgressRefused;
        let incident = NewIncident::about(kind, &job.facts.id, Some(job.facts.artifact), facts);
        if let Err(error) = self.store.record_incident(&incident).await {
            tracing::error!(artifact.id = %job.facts.artifact, %error, "an incident is not recorded");
        }
    }

    /// Stores the document as it was received, and says in Postgres that it was.
    async fn keep(&self, job: &Job, document: MetadataDocument) -> Result<Answer, CheckError> {
        let stored = job
            .blobs
            .put_bytes(document.body.clone())
            .await
            .map_err(|error| CheckError::retry_because("the attestations cannot be stored", error))?;
        let evidence = Evidence {
            kind: EvidenceKind::Attestations,
            url: document.url.to_string(),
            sha256: stored.sha256,
            size: stored.size,
            seen_at: self.clock.now(),
        };
        self.store.add_evidence(job.facts.artifact, &[evidence]).await.map_err(unrecorded)?;
        Ok(Answer::Document { sha256: stored.sha256, bytes: document.body })
    }
}

enum Fetched {
    Document(MetadataDocument),
    Absent,
    TooLarge,
}

async fn fetch(upstream: &Upstream, id: &ArtifactId) -> Result<Fetched, FetchError> {
    let Some(path) = path(id) else { return Ok(Fetched::Absent) };
    let url = match path.base {
        UpstreamBase::Attestations => upstream.attestations_url(&path.path)?,
        UpstreamBase::Index => upstream.index_url(&path.path)?,
    };
    match upstream.metadata(&url, path.accept, &Validators::default()).await {
        Ok(MetadataReply::Document(document)) => Ok(Fetched::Document(document)),
        Ok(MetadataReply::NotModified) => Err(FetchError::Request {
            problem: "no validators were sent, and nothing is said to have changed",
        }),
        Err(FetchError::NotFound { .. }) => Ok(Fetched::Absent),
        Err(FetchError::TooLarge { .. }) => Ok(Fetched::TooLarge),
        Err(error) => Err(error),
    }
}

/// A page of another kind, or an empty one, is what something in between says when it cannot answer. And where only the end of the
/// connection ends the body, nobody notices that it came early but by the end of the JSON.
fn usable(document: MetadataDocument) -> Result<MetadataDocument, CheckError> {
    if document.body.is_empty() {
        return Err(CheckError::retry("the attestations are not available: the answer is empty"));
    }
    let kind = document.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/json" && !kind.ends_with("+json") {
        return Err(CheckError::retry(format!(
            "the attestations are not available: the answer is {kind:?}, not JSON"
        )));
    }
    if document.framing == Framing::Closing
        && serde_json::from_slice::<IgnoredAny>(&document.body).is_err_and(|error| error.is_eof())
    {
        let got = document.body.len();
        return Err(CheckError::retry(format!(
            "the attestations are not available: the answer, of no announced length, ended early, after {got} bytes"
        )));
    }
    Ok(document)
}

/// There is a bound to what is kept of one artifact, which an upstream reaches that answers differently each time.
fn unrecorded(error: StoreError) -> CheckError {
    const PROBLEM: &str = "the attestations cannot be put on record";
    if let StoreError::Limit { .. } = error {
        let why = "the upstream has sent too many different documents of this artifact";
        return CheckError::retry(format!(
            "{PROBLEM}: {why}, and at most {EVIDENCE_MAX} pieces of evidence are kept"
        ));
    }
    CheckError::retry_because(PROBLEM, error)
}

fn unavailable(error: FetchError) -> CheckError {
    match error {
        FetchError::Request { .. } => CheckError::poison(error.to_string()),
        FetchError::Status { .. }
        | FetchError::Egress(_)
        | FetchError::Unreachable { .. }
        | FetchError::Timeout { .. }
        | FetchError::Truncated { .. }
        | FetchError::Encoding { .. }
        | FetchError::Malformed { .. }
        | FetchError::Redirects { .. }
        | FetchError::NotAnArtifact { .. }
        | FetchError::Empty { .. }
        | FetchError::BreakerOpen { .. }
        | FetchError::NotFound { .. }
        | FetchError::TooLarge { .. } => {
            CheckError::retry_because("the attestations are not available", error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(body: &'static str, content_type: &str, framing: Framing) -> Result<usize, String> {
        let document = MetadataDocument {
            url: "https://registry.example/x".parse().expect("an address"),
            content_type: content_type.to_owned(),
            body: Bytes::from_static(body.as_bytes()),
            framing,
            validators: Validators::default(),
        };
        usable(document).map(|document| document.body.len()).map_err(|error| {
            assert!(matches!(error, CheckError::Retry { .. }), "{error}");
            error.to_string()
        })
    }

    #[test]
    fn an_answer_that_is_cut_is_no_document() {
        const JSON: &str = "application/json; charset=utf-8";
        for (body, framing, expected) in [
            ("{\"a\":[]}", Framing::Closing, Ok(8)),
            ("{\"a\":[", Framing::Closing, Err(", of no announced length, ended early, after 6 bytes")),
            ("{\"a\":[", Framing::Announced, Ok(6)),
            ("{\"a\":[", Framing::Delimited, Ok(6)),
            // Wrong from the begin, and not at the end.
            ("{]", Framing::Closing, Ok(2)),
            ("{\"a\":[]}}", Framing::Closing, Ok(9)),
            ("", Framing::Announced, Err(" is empty")),
        ] {
            let expected =
                expected.map_err(|why: &str| format!("the attestations are not available: the answer{why}"));
            assert_eq!(answered(body, JSON, framing), expected, "{body} {framing:?}");
        }
        answered("{}", "application/vnd.pypi.integrity.v1+json", Framing::Announced).expect("JSON");
        let page = "the attestations are not available: the answer is \"text/html\", not JSON";
        assert_eq!(answered("{}", "text/html", Framing::Announced), Err(page.to_owned()));
    }

    #[test]
    fn what_cannot_be_recorded_says_why() {
        let limit = StoreError::Limit { what: "pieces of evidence", found: 257, limit: EVIDENCE_MAX };
        let told = unrecorded(limit).to_string();
        assert!(told.ends_with("and at most 256 pieces of evidence are kept"), "{told}");
    }
}
