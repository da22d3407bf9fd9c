//! Declared digests against computed ones: the rule that decides the hash check.
//!
//! *Invariant:* every strong claim must match; weak claims are compared too, and never suffice.
//!
//! *Invariant:* a malformed claim is never ignored: it holds the artifact.

use jiff::Timestamp;
use touchstone_domain::{Algorithm, ClaimField, Digest, Outcome, Reason};

/// One declared digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The field that declared it.
    pub field: ClaimField,
    /// What it declares.
    pub digest: Digest,
}

/// What the claims about one artifact declare, once parsed. Only the ecosystem's adapter knows the grammars.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Declared {
    /// The digests, all of which must match.
    pub comparisons: Vec<Comparison>,
    /// The sizes in bytes, all of which must match.
    pub sizes: Vec<u64>,
    /// Why some claims could not be parsed.
    pub malformed: Vec<Reason>,
}

/// What was computed over the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// Their number.
    pub size: u64,
    /// Their digests, one for each algorithm that was computed.
    pub digests: Vec<Digest>,
}

impl Computed {
    fn digest(&self, algorithm: Algorithm) -> Option<Digest> {
        self.digests.iter().copied().find(|digest| digest.algorithm() == algorithm)
    }
}

impl Declared {
    /// The first declared size or digest, weak ones included, that the bytes contradict. Algorithms that were not
    /// computed are skipped, here only: this is the early look while fetching, and [`Declared::judge`] decides.
    pub fn contradiction(&self, computed: &Computed) -> Option<Reason> {
        let size = self.sizes.iter().copied().find(|size| *size != computed.size);
        if let Some(declared) = size {
            return Some(Reason::SizeMismatch { declared, computed: computed.size });
        }
        self.comparisons.iter().find_map(|Comparison { field, digest }| {
            let algorithm = digest.algorithm();
            let found = computed.digest(algorithm).filter(|found| found != digest)?;
            Some(Reason::DigestMismatch {
                field: *field,
                algorithm,
                declared: digest.to_hex(),
                computed: found.to_hex(),
            })
        })
    }

    /// Whether a strong digest is declared.
    pub fn has_strong(&self) -> bool {
        self.comparisons.iter().any(|comparison| comparison.digest.algorithm().is_strong())
    }

    /// Decides. A contradiction fails, whatever else matches; what could not be compared holds; then one strong digest
    /// suffices, and weak ones only with `accept_weak`, which is the policy's answer for a version published then.
    pub fn judge(&self, computed: &Computed, published_at: Option<Timestamp>, accept_weak: bool) -> Outcome {
        if let Some(reason) = self.contradiction(computed) {
            return Outcome::fail(reason);
        }
        if let Some(reason) = self.malformed.first().cloned().or_else(|| self.not_computed(computed)) {
            return Outcome::inconclusive(reason);
        }
        let algorithms: Vec<Algorithm> = self.comparisons.iter().map(|c| c.digest.algorithm()).collect();
        let strong = algorithms.iter().filter(|algorithm| algorithm.is_strong()).count();
        match (strong, algorithms.is_empty(), accept_weak) {
            (0, true, _) => Outcome::inconclusive(Reason::NoClaim),
            (0, false, true) => Outcome::pass(Reason::WeakAccepted { algorithms }),
            (0, false, false) => Outcome::inconclusive(Reason::WeakOnly { algorithms, published_at }),
            (claims, _, _) => {
                Outcome::pass(Reason::DigestsMatch { claims: u32::try_from(claims).unwrap_or(u32::MAX) })
            }
        }
    }

    /// A declared digest whose algorithm the caller did not compute: it is held, not skipped.
    fn not_computed(&self, computed: &Computed) -> Option<Reason> {
        let unmet = self.comparisons.iter().find(|c| computed.digest(c.digest.algorithm()).is_none())?;
        let detail = format!("{} is declared and was not computed", unmet.digest.algorithm());
        Some(Reason::ClaimMalformed { field: unmet.field, detail })
    }
}

#[cfg(test)]
mod tests;
