//! The check as the worker runs it: what there is to judge, who is asked for it, and what the ledger makes of it.
//!
//! *Invariant:* a document is evidence on record before it is judged.
//!
//! *Invariant:* an identity is on the ledger only when this check found nothing against the artifact. What the other checks find
//! is not known here, and they may yet reject it: the store does not count the rows of what was rejected or recalled.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use touchstone_domain::{
    Absence, AttestationMode, CheckKind, Ecosystem, Outcome, OutcomeKind, Reason, Sha256, SignatureNote,
    Version,
};
use touchstone_ecosystems::{npm::attestation::Dist, release_line, version_lower};
use touchstone_runtime::Clock;
use touchstone_store::{Accepted, LedgerSubject, NewIncident, Seen, Store};
use touchstone_upstream::Upstream;
use touchstone_worker::{Check, CheckError, Finding, Job, blocking};

use crate::{
    case::{Case, Entry, entry_evidence, sidecar},
    conclude, continuity,
    documents::Answer,
    judged::{Attested, Rejection},
    npm, pypi,
    stop::Stop,
    tarball,
    trust::{Trust, TrustKeeper},
};

/// The revision of the rules; to be raised when a judgement over the same evidence may come out differently.
const REVISION: i32 = 2;

/// The attest check.
pub(crate) struct AttestCheck {
    pub(crate) upstreams: HashMap<Ecosystem, Upstream>,
    pub(crate) trust: TrustKeeper,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What an answer rests on, besides the metadata.
#[derive(Default)]
struct Used {
    document: Option<Sha256>,
    trust: Vec<Sha256>,
}

impl Used {
    fn trust(&mut self, digest: Sha256) {
        if !self.trust.contains(&digest) {
            self.trust.push(digest);
        }
    }
}

impl Check for AttestCheck {
    fn kind(&self) -> CheckKind {
        CheckKind::Attest
    }

    fn revision(&self) -> i32 {
        REVISION
    }

    async fn check(&self, job: &Job) -> Result<Finding, CheckError> {
        let facts = &job.facts;
        let mode = job.policy.attestations(facts.id.ecosystem, &facts.id.package);
        let mut used = Used::default();
        let found = match self.judge(job, mode, &mut used).await {
            Ok(outcome) => outcome,
            Err(Stop::Answer(outcome)) => *outcome,
            Err(Stop::Trouble(error)) => return Err(error),
        };
        let waiver = job.policy.waiver(facts.sha256, self.clock.now());
        let outcome = conclude::waived(found, mode, waiver);
        self.tell(job, &outcome).await;
        let entry = entry_evidence(facts).map(|entry| entry.sha256);
        let evidence = entry.into_iter().chain(used.document).collect();
        Ok(Finding { outcome, chunk_root: None, evidence, trust: used.trust })
    }
}

impl AttestCheck {
    /// The upstream of an ecosystem.
    pub(crate) fn upstream(&self, ecosystem: Ecosystem) -> Result<&Upstream, CheckError> {
        let missing = || CheckError::retry(format!("this process has no upstream for {ecosystem}"));
        self.upstreams.get(&ecosystem).ok_or_else(missing)
    }

    async fn judge(&self, job: &Job, mode: AttestationMode, used: &mut Used) -> Result<Outcome, Stop> {
        match mode {
            AttestationMode::Off => return Ok(not_offered(Reason::AttestationsOff)),
            AttestationMode::Observe | AttestationMode::Ratchet | AttestationMode::Require => {}
        }
        // What is only the metadata of a file neither has an attestation nor says anything about the ledger.
        if sidecar(&job.facts.id) {
            return Ok(unattested(SignatureNote::NotApplicable));
        }
        let case = Case::read(job, mode).await?;
        let signed = self.signed(&case, used)?;
        let seen = self.store.seen(case.id.ecosystem, &case.id.package, &case.id.version).await?;
        let listed = case.is_listed_attested() || seen.as_ref().is_some_and(|seen| seen.listed_attested);
        let asks = listed
            || case.is_required()
            || self.store.has_identity(case.id.ecosystem, &case.id.package).await?;
        let attested = if asks { self.attestations(&case, used).await? } else { None };
        let signature = match signed {
            Some(signed) => {
                let times = npm::Times {
                    attested: attested.as_ref().and_then(|attested| attested.published_at),
                    declared: job.facts.published_at,
                    seen: seen.as_ref().map(|seen| (seen.first_seen, seen.package_first_seen)),
                };
                npm::settle(signed, times)?
            }
            None => SignatureNote::NotApplicable,
        };
        match attested {
            Some(attested) => self.attested(&case, attested, seen.as_ref(), signature).await,
            None if asks => self.absent(&case, seen.as_ref(), signature).await,
            None => Ok(unattested(signature)),
        }
    }

    /// What signatures count now; asked for only where there are some, so that the rest goes on without a usable root.
    fn trusted(&self) -> Result<Trust, CheckError> {
        self.trust.current().map_err(|error| CheckError::retry_because("no trust root can be used", error))
    }

    /// What the registry's signatures come to; `None` where registries sign nothing.
    fn signed(&self, case: &Case<'_>, used: &mut Used) -> Result<Option<npm::Signed>, Stop> {
        match &case.entry {
            Entry::Npm(dist) if dist.signatures.is_empty() => Ok(Some(npm::Signed::Absent)),
            Entry::Npm(dist) => {
                let keys = self.trusted()?.keys;
                used.trust(keys.digest());
                Ok(Some(npm::verify(dist, case.id, case.digests.sha512, &keys, self.clock.now())?))
            }
            Entry::Pypi(_) => Ok(None),
        }
    }

    /// The attestations that the upstream has, verified; `None` when it says that there are none.
    async fn attestations(&self, case: &Case<'_>, used: &mut Used) -> Result<Option<Attested>, Stop> {
        let trust = self.trusted()?;
        let (sha256, bytes) = match self.document(case.job).await? {
            Answer::Document { sha256, bytes } => (sha256, bytes),
            Answer::Absent if case.is_listed_attested() => {
                let detail = "the metadata lists attestations, and the upstream says that there are none";
                return Err(Rejection::Incomplete { problem: "withheld", detail }.into());
            }
            Answer::Absent => return Ok(None),
            Answer::TooLarge => {
                return Err(Rejection::refused("document", "limit", "it is larger than is read").into());
            }
        };
        used.document = Some(sha256);
        let attested = match &case.entry {
            Entry::Npm(dist) => {
                used.trust(trust.keys.digest());
                used.trust(trust.root.digest());
                npm_judged(case, dist, (sha256, bytes), trust).await?
            }
            Entry::Pypi(_) => {
                used.trust(trust.root.digest());
                pypi_judged(case, (sha256, bytes), trust).await?
            }
        };
        Ok(Some(attested))
    }

    /// Verified identities: the pin or the ledger says whether they are the ones before.
    async fn attested(
        &self,
        case: &Case<'_>,
        attested: Attested,
        seen: Option<&Seen>,
        signature: SignatureNote,
    ) -> Result<Outcome, Stop> {
        let line = release_line(case.id.ecosystem, &case.id.version);
        let first_seen = seen.map(|seen| seen.first_seen);
        let lower = |other: &Version| is_lower(case, other);
        let settled = self
            .store
            .settle_identity(&subject(case), |history| {
                match continuity::attested(case.pin, history, line, &attested.observed, first_seen, &lower) {
                    Ok((observed, basis)) => {
                        let accepted = Accepted { observed: observed.clone(), basis: basis.clone() };
                        (Ok(accepted.clone()), Some(accepted))
                    }
                    Err(broken) => (Err(broken), None),
                }
            })
            .await?;
        let Accepted { observed, basis } = settled?;
        Ok(Outcome::pass(Reason::Attested {
            identity: Box::new(observed.identity),
            rank: observed.rank,
            continuity: basis,
            attestations: attested.notes,
            registry_signature: signature,
        }))
    }

    /// No attestation: the pin or the ledger says whether there should be one.
    async fn absent(
        &self,
        case: &Case<'_>,
        seen: Option<&Seen>,
        signature: SignatureNote,
    ) -> Result<Outcome, Stop> {
        let line = release_line(case.id.ecosystem, &case.id.version);
        let absence = Absence {
            listed_with: seen.is_some_and(|seen| seen.listed_attested),
            first_seen: seen.map(|seen| seen.first_seen),
        };
        let settled = self
            .store
            .settle_identity(&subject(case), |history| {
                let lower = |other: &Version| is_lower(case, other);
                (continuity::absent(case.pin, history, line, absence, &lower), None)
            })
            .await?;
        Ok(settled.map_or_else(continuity::discontinued, |()| unattested(signature)))
    }

    /// Counts the answer, and puts on record what people must look at.
    async fn tell(&self, job: &Job, outcome: &Outcome) {
        let facts = &job.facts;
        let labels = [
            ("ecosystem", facts.id.ecosystem.as_str()),
            ("outcome", outcome.kind.as_str()),
            ("reason", outcome.reason.code()),
        ];
        metrics::counter!("touchstone_attestations", &labels).increment(1);
        let Some((kind, detail)) = conclude::incident(outcome) else { return };
        tracing::warn!(artifact.id = %facts.artifact, purl = %facts.id, reason = %outcome.reason, "attestations are not accepted");
        let incident = NewIncident::about(kind, &facts.id, Some(facts.artifact), detail);
        if let Err(error) = self.store.record_incident(&incident).await {
            tracing::error!(artifact.id = %facts.artifact, %error, "an incident is not recorded");
        }
    }
}

async fn npm_judged(
    case: &Case<'_>,
    dist: &Dist,
    (sha256, bytes): (Sha256, Bytes),
    trust: Trust,
) -> Result<Attested, Stop> {
    let tarball = tarball::read(&case.job.facts, &case.job.blobs).await??;
    let (id, dist) = (case.id.clone(), dist.clone());
    let judging = move || {
        let release = npm::Release {
            id: &id,
            digests: tarball.digests,
            dist: &dist,
            repository: tarball.repository.as_deref(),
        };
        npm::judge(&bytes, sha256, &release, &trust)
    };
    Ok(blocking(judging).await??)
}

async fn pypi_judged(
    case: &Case<'_>,
    (sha256, bytes): (Sha256, Bytes),
    trust: Trust,
) -> Result<Attested, Stop> {
    let (id, digests) = (case.id.clone(), case.digests);
    let judging = move || {
        let file = pypi::Distribution { package: &id.package, file: &id.file, digests };
        pypi::judge(&bytes, sha256, &file, &trust)
    };
    Ok(blocking(judging).await??)
}

/// Whether the release is lower than another version; not when they do not compare.
fn is_lower(case: &Case<'_>, other: &Version) -> bool {
    version_lower(case.id.ecosystem, &case.id.version, other).unwrap_or(false)
}

fn subject<'a>(case: &'a Case<'_>) -> LedgerSubject<'a> {
    let line = release_line(case.id.ecosystem, &case.id.version);
    LedgerSubject { artifact: case.job.facts.artifact, id: case.id, line }
}

fn unattested(registry_signature: SignatureNote) -> Outcome {
    not_offered(Reason::Unattested { registry_signature })
}

const fn not_offered(reason: Reason) -> Outcome {
    Outcome { kind: OutcomeKind::NotOffered, reason }
}
