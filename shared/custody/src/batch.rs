//! Ed25519 signatures by the hundred (RFC 8032, section 5.1.7), with one equation for all of them.
//!
//! A signature (R, S) of a message by the key A holds if `S·B = R + k·A`, where k is the SHA-512 of R, A and the message. Many hold
//! together if, for coefficients z of 128 random bits each,
//!
//! ```text
//! Σ z·R + Σ_A (Σ z·k)·A − (Σ z·S)·B = 0
//! ```
//!
//! with one term for each key, however many signatures it made. In the group of prime order, a signature that does not hold leaves
//! this sum at zero for at most one of the 2^128 coefficients that it may get. But R may be outside of that group, by a component of
//! an order that divides eight: stock verifiers refuse such a signature, and this sum might not show it. So each R is shown to be
//! inside, too: of 32 random subsets, the sums must be inside (a component anywhere leaves each of them inside with one chance in two
//! at most). A key outside is never put into the equation.
//!
//! *Invariant:* what holds is what aws-lc says that holds, as stock tools do. Whatever the equation does not prove is verified by
//! itself, so it can only be wrong about a signature that aws-lc refuses: with a probability of 2^-128 if it is forged, and of 2^-32
//! if the key's holder made it so. The coefficients come from the system's generator; nobody knows them before.
//!
//! What makes every batch fail costs the equation besides, a third of what aws-lc takes.

use std::collections::HashMap;

use aws_lc_rs::{
    digest, rand,
    signature::{ED25519, UnparsedPublicKey},
};
use curve25519_dalek::{
    EdwardsPoint, Scalar,
    constants::ED25519_BASEPOINT_POINT,
    edwards::CompressedEdwardsY,
    traits::{Identity as _, IsIdentity as _, VartimeMultiscalarMul as _},
};

use crate::PublicKey;

/// The fewest signatures for which the equation costs less.
const BATCH_MIN: usize = 64;
/// The most in one equation: those of 256 artifacts with a fetch and four verdicts.
const BATCH_MAX: usize = 1280;
/// How many random subsets of the Rs are summed up, to show that none has a component of small order.
const SUBSETS: usize = 32;
/// A coefficient is read by digits of so many bits; the last has fewer.
const DIGIT_BITS: usize = 6;
const DIGITS: usize = 128_usize.div_ceil(DIGIT_BITS);

/// A signature that is to be verified.
pub(crate) struct Claim<'a> {
    /// The key.
    pub(crate) public: &'a PublicKey,
    /// The key's [`point`].
    pub(crate) point: Option<&'a EdwardsPoint>,
    /// The parts of the message.
    pub(crate) message: [&'a [u8]; 2],
    /// The signature.
    pub(crate) signature: &'a [u8; 64],
}

impl Claim<'_> {
    /// Whether it holds, by aws-lc.
    pub(crate) fn holds(&self) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.public.raw());
        key.verify(&self.message.concat(), self.signature).is_ok()
    }

    /// Its part of the equation; none if it cannot be in one.
    fn term(&self) -> Option<Term<'_>> {
        let (r, s) = self.signature.split_first_chunk::<32>()?;
        let s = Scalar::from_canonical_bytes(s.try_into().ok()?).into_option()?;
        let mut hash = digest::Context::new(&digest::SHA512);
        for part in [r, self.public.raw().as_slice(), self.message[0], self.message[1]] {
            hash.update(part);
        }
        let k = Scalar::from_bytes_mod_order_wide(hash.finish().as_ref().try_into().ok()?);
        Some(Term { key: (self.public, self.point?), r: decoded(r)?, s, k })
    }
}

/// Which of the claims hold, in their order.
pub(crate) fn which_hold(claims: &[Claim<'_>]) -> Vec<bool> {
    claims.chunks(BATCH_MAX).flat_map(batch).collect()
}

fn batch(claims: &[Claim<'_>]) -> Vec<bool> {
    let terms: Vec<Option<Term<'_>>> = match claims.len() {
        0..BATCH_MIN => claims.iter().map(|_| None).collect(),
        BATCH_MIN.. => claims.iter().map(Claim::term).collect(),
    };
    let together: Vec<&Term<'_>> = terms.iter().flatten().collect();
    let all = together.len() >= BATCH_MIN && all_hold(&together);
    claims.iter().zip(&terms).map(|(claim, term)| (all && term.is_some()) || claim.holds()).collect()
}

/// The key as the equation takes it; none if it is outside of the group of prime order, or written in another way than the usual.
pub(crate) fn point(public: &PublicKey) -> Option<EdwardsPoint> {
    decoded(public.raw()).filter(EdwardsPoint::is_torsion_free)
}

/// The point that is written so, if no other bytes are read as the same point (RFC 8032, section 5.1.3): y is less than p, and
/// neither 1 nor -1, whose x has no sign.
fn decoded(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    const ONE: [u8; 32] = {
        let mut y = [0; 32];
        y[0] = 1;
        y
    };
    const MINUS_ONE: [u8; 32] = {
        let mut y = [0xff; 32];
        (y[0], y[31]) = (0xec, 0x7f);
        y
    };
    let mut y = *bytes;
    y[31] &= 0x7f;
    if y == ONE || y.iter().rev().ge(MINUS_ONE.iter().rev()) {
        return None;
    }
    CompressedEdwardsY(*bytes).decompress()
}

/// What the equation takes of a signature.
struct Term<'a> {
    key: (&'a PublicKey, &'a EdwardsPoint),
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

/// Whether all of them hold. If one does not, the answer is no, but for the probabilities above; if all do, it is yes.
fn all_hold(terms: &[&Term<'_>]) -> bool {
    let mut random = vec![0; terms.len() * size_of::<u128>()];
    if rand::fill(&mut random).is_err() {
        return false;
    }
    let coefficients: Vec<u128> =
        random.as_chunks().0.iter().map(|bytes| u128::from_le_bytes(*bytes)).collect();
    let mut of_base = Scalar::ZERO;
    let mut of_keys: HashMap<&PublicKey, (Scalar, &EdwardsPoint)> = HashMap::new();
    for (term, coefficient) in terms.iter().zip(&coefficients) {
        let (public, point) = term.key;
        let z = Scalar::from(*coefficient);
        of_base -= z * term.s;
        of_keys.entry(public).or_insert((Scalar::ZERO, point)).0 += z * term.k;
    }
    let sums = subset_sums(terms, &coefficients);
    let of_rs = sums.iter().rev().fold(EdwardsPoint::identity(), |sum, subset| sum + sum + subset);
    let scalars = of_keys.values().map(|(scalar, _)| *scalar).chain([of_base]);
    let points = of_keys.values().map(|(_, point)| **point).chain([ED25519_BASEPOINT_POINT]);
    (of_rs + EdwardsPoint::vartime_multiscalar_mul(scalars, points)).is_identity()
        && sums[..SUBSETS].iter().all(EdwardsPoint::is_torsion_free)
}

/// For each bit of the coefficients, the lowest first, the sum of the Rs whose coefficient has it. Each is the sum of a random subset;
/// doubled as often as its bit says, they add up to `Σ z·R`.
fn subset_sums(terms: &[&Term<'_>], coefficients: &[u128]) -> Vec<EdwardsPoint> {
    let of_digit = |digit: usize| {
        let mut sums = [EdwardsPoint::identity(); 1 << DIGIT_BITS];
        for (term, coefficient) in terms.iter().zip(coefficients) {
            let bits = (coefficient >> (DIGIT_BITS * digit)).to_le_bytes()[0];
            sums[usize::from(bits) % sums.len()] += term.r;
        }
        by_bit(sums)
    };
    (0..DIGITS).flat_map(of_digit).collect()
}

/// From the sums by the value of a digit, those by its bits.
fn by_bit(mut sums: [EdwardsPoint; 1 << DIGIT_BITS]) -> [EdwardsPoint; DIGIT_BITS] {
    let mut bits = [EdwardsPoint::identity(); DIGIT_BITS];
    for (bit, of_bit) in bits.iter_mut().enumerate().rev() {
        let (without, with) = sums.split_at_mut(1 << bit);
        for (without, with) in without.iter_mut().zip(with) {
            *of_bit += *with;
            *without += *with;
        }
    }
    bits
}

#[cfg(test)]
mod tests;
