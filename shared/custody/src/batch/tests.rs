use curve25519_dalek::constants::EIGHT_TORSION;
use touchstone_domain::Sha512;

use super::*;

/// A key whose private half is used by hand, for signatures that no signer makes.
#[derive(Clone, Copy)]
struct Key {
    secret: Scalar,
    public: [u8; 32],
}

impl Key {
    fn new(number: usize) -> Self {
        let secret = scalar(&[b"key", &number.to_le_bytes()]);
        Self { secret, public: EdwardsPoint::mul_base(&secret).compress().0 }
    }

    fn sign(self, message: &[u8]) -> Sample {
        let nonce = scalar(&[b"nonce", &self.public, message]);
        self.sign_with(nonce, EdwardsPoint::mul_base(&nonce).compress().0, message)
    }

    /// The S that belongs to this R, as if R were the nonce times B.
    fn sign_with(self, nonce: Scalar, r: [u8; 32], message: &[u8]) -> Sample {
        let s = nonce + scalar(&[&r, &self.public, message]) * self.secret;
        let signature = [r, s.to_bytes()].concat().try_into().expect("64 bytes");
        Sample { public: PublicKey::from_raw(self.public), message: message.to_vec(), signature }
    }
}

fn scalar(parts: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&Sha512::of(parts.concat()).0)
}

/// A signature of one of five keys.
fn honest(number: usize) -> Sample {
    Key::new(number % 5).sign(format!("message {number}").as_bytes())
}

#[derive(Clone, Debug)]
struct Sample {
    public: PublicKey,
    message: Vec<u8>,
    signature: [u8; 64],
}

impl Sample {
    fn claim<'a>(&'a self, point: Option<&'a EdwardsPoint>) -> Claim<'a> {
        let (start, end) = self.message.split_at(self.message.len() / 2);
        Claim { public: &self.public, point, message: [start, end], signature: &self.signature }
    }
}

/// What is answered, and what aws-lc says of each by itself.
fn answers(samples: &[Sample]) -> (Vec<bool>, Vec<bool>) {
    let points: Vec<_> = samples.iter().map(|sample| point(&sample.public)).collect();
    let claims: Vec<_> = samples.iter().zip(&points).map(|(s, point)| s.claim(point.as_ref())).collect();
    (which_hold(&claims), claims.iter().map(Claim::holds).collect())
}

/// Whether the equation says that all hold; none if one of them cannot be in it.
fn together(samples: &[Sample]) -> Option<bool> {
    let points: Vec<_> = samples.iter().map(|sample| point(&sample.public)).collect();
    let claims: Vec<_> = samples.iter().zip(&points).map(|(s, point)| s.claim(point.as_ref())).collect();
    let terms = claims.iter().map(Claim::term).collect::<Option<Vec<_>>>()?;
    Some(all_hold(&terms.iter().collect::<Vec<_>>()))
}

/// As many honest ones as make a batch, and this one among them.
fn among_honest(sample: &Sample) -> Vec<Sample> {
    let mut all: Vec<Sample> = (0..BATCH_MIN).map(honest).collect();
    all.insert(7, sample.clone());
    all
}

/// Aws-lc refuses it, and so does the equation, or else it is not in it.
fn assert_refused(sample: &Sample, in_equation: bool) {
    let all = among_honest(sample);
    assert_eq!(together(&all), in_equation.then_some(false), "{sample:?}");
    let expected: Vec<bool> = (0..all.len()).map(|position| position != 7).collect();
    assert_eq!(answers(&all), (expected.clone(), expected), "{sample:?}");
}

#[test]
fn honest_signatures_hold_together() {
    for number in [BATCH_MIN, BATCH_MIN + 1, 200] {
        let samples: Vec<Sample> = (0..number).map(honest).collect();
        assert_eq!(together(&samples), Some(true));
        assert_eq!(answers(&samples), (vec![true; number], vec![true; number]));
    }
    assert_eq!(together(&[]), Some(true));
    assert_eq!(together(&[honest(0)]), Some(true));
    assert_eq!(together(&vec![honest(0); BATCH_MIN]), Some(true));
}

#[test]
fn few_and_very_many_are_answered_too() {
    assert_eq!(answers(&[]), (vec![], vec![]));
    assert_eq!(answers(&[honest(0)]), (vec![true], vec![true]));
    let mut samples = vec![honest(0); BATCH_MAX + BATCH_MIN - 1];
    samples[BATCH_MAX].signature[5] ^= 1;
    let mut expected = vec![true; samples.len()];
    expected[BATCH_MAX] = false;
    assert_eq!(answers(&samples), (expected.clone(), expected));
}

#[test]
fn nothing_changed_holds() {
    let sample = honest(1);
    for position in 0..64 {
        let mut changed = sample.clone();
        changed.signature[position] ^= 1 << (position % 8);
        // another R may be no point, and a higher bit of S makes it too large
        let is_read = changed.claim(point(&changed.public).as_ref()).term().is_some();
        assert!(is_read || position < 32 || position == 63, "{position}");
        assert_refused(&changed, is_read);
    }
    for position in 0..sample.message.len() {
        let mut changed = sample.clone();
        changed.message[position] ^= 1;
        assert_refused(&changed, true);
    }
    for position in 0..32 {
        let mut public = *sample.public.raw();
        public[position] ^= 1 << (position % 8);
        let changed = Sample { public: PublicKey::from_raw(public), ..sample.clone() };
        // most are no points, or have a component of small order
        assert_refused(&changed, point(&changed.public).is_some());
    }
    assert_refused(&Sample { public: honest(2).public, ..sample.clone() }, true);
    assert_refused(&Sample { message: honest(6).message, ..sample }, true);
}

#[test]
fn s_is_less_than_the_order() {
    let mut sample = honest(3);
    // the order is one more than the largest scalar
    let mut carry = 1;
    for (byte, order) in sample.signature[32..].iter_mut().zip((-Scalar::ONE).as_bytes()) {
        let [low, high] = (u16::from(*byte) + u16::from(*order) + carry).to_le_bytes();
        (*byte, carry) = (low, high.into());
    }
    assert_refused(&sample, false);
}

#[test]
fn an_r_with_a_component_of_small_order_is_refused_as_stock_verifiers_do() {
    let key = Key::new(0);
    let base = ED25519_BASEPOINT_POINT;
    for (number, torsion) in EIGHT_TORSION.into_iter().enumerate().skip(1) {
        let message = format!("torsion {number}");
        let nonce = scalar(&[message.as_bytes()]);
        let r = EdwardsPoint::mul_base(&nonce) + torsion;
        let sample = key.sign_with(nonce, r.compress().0, message.as_bytes());
        // eight times the equation of RFC 8032 holds
        let held = point(&sample.public).expect("a point");
        let claim = sample.claim(Some(&held));
        let Term { s, k, .. } = claim.term().expect("a term");
        let rest = base * s - r - held * k;
        assert!(rest.mul_by_cofactor().is_identity() && !rest.is_identity());
        assert_refused(&sample, true);
        // nor do such signatures make up for one another
        let opposite = EdwardsPoint::mul_base(&nonce) - torsion;
        let opposite = key.sign_with(nonce, opposite.compress().0, message.as_bytes());
        for _ in 0..16 {
            assert_eq!(together(&among_honest(&sample)), Some(false));
            assert_eq!(together(&[sample.clone(), opposite.clone()]), Some(false));
        }
    }
}

#[test]
fn a_key_with_a_component_of_small_order_is_left_to_aws_lc() {
    let honest = Key::new(0);
    let mut seen = [false; 2];
    for (number, torsion) in EIGHT_TORSION.into_iter().enumerate().skip(1) {
        let public = (EdwardsPoint::mul_base(&honest.secret) + torsion).compress().0;
        assert_eq!(point(&PublicKey::from_raw(public)), None);
        let key = Key { public, ..honest };
        let mut samples = vec![];
        for message in 0..BATCH_MIN {
            samples.push(key.sign(format!("{number} {message}").as_bytes()));
        }
        let (answered, expected) = answers(&samples);
        assert_eq!(answered, expected);
        for holds in expected {
            seen[usize::from(holds)] = true;
        }
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn only_points_that_are_written_in_one_way_are_in_the_equation() {
    let y = |low: u8, rest: u8, high: u8| {
        let mut y = [rest; 32];
        (y[0], y[31]) = (low, high);
        y
    };
    // p, and all above it, with either sign
    for low in 0xed..=0xff {
        assert_eq!((decoded(&y(low, 0xff, 0x7f)), decoded(&y(low, 0xff, 0xff))), (None, None), "{low}");
    }
    for (low, rest, high) in [(1, 0, 0), (1, 0, 0x80), (0xec, 0xff, 0x7f), (0xec, 0xff, 0xff), (2, 0, 0)] {
        assert_eq!(decoded(&y(low, rest, high)), None, "{low}");
    }
    // and just below
    let (highest, lowest) = (y(0xeb, 0xff, 0x7f), y(3, 0, 0x80));
    for bytes in [highest, lowest, honest(0).public.raw().to_owned()] {
        let read = CompressedEdwardsY(bytes).decompress();
        assert_eq!(decoded(&bytes), read);
        assert_eq!(read.map(|point| point.compress().0), read.map(|_| bytes));
    }
    // R is zero, in each way to write it; as stock tools do, aws-lc takes one of them
    let key = Key::new(0);
    for (r, holds) in [
        (y(1, 0, 0), true),
        (y(1, 0, 0x80), false),
        (y(0xee, 0xff, 0x7f), false),
        (y(0xee, 0xff, 0xff), false),
    ] {
        let all = among_honest(&key.sign_with(Scalar::ZERO, r, b"zero"));
        assert_eq!(together(&all), None);
        let expected: Vec<bool> = (0..all.len()).map(|position| position != 7 || holds).collect();
        assert_eq!(answers(&all), (expected.clone(), expected));
    }
}

#[test]
fn one_that_does_not_hold_is_found_wherever_it_is() {
    let honest: Vec<Sample> = (0..BATCH_MIN + 8).map(honest).collect();
    for position in 0..honest.len() {
        let mut samples = honest.clone();
        samples[position].message.push(b'.');
        let mut expected = vec![true; samples.len()];
        expected[position] = false;
        assert_eq!(answers(&samples), (expected.clone(), expected));
    }
}

/// Whatever is mixed, each is answered as aws-lc answers it.
#[test]
fn mixtures_are_answered_as_by_aws_lc() {
    for seed in 0..24_usize {
        // one round in three has honest ones only
        let spoilt = |number: usize| seed % 3 != 0 && Sha512::of(format!("{seed} {number}")).0[0] < 16;
        let samples = (0..BATCH_MIN + 3 * seed).map(|number| {
            let mut sample = honest(number + seed);
            let dice = Sha512::of(format!("{seed} {number} dice")).0;
            if spoilt(number) {
                let place = usize::from(dice[1]);
                match dice[0] % 5 {
                    0 => sample.signature[place % 64] ^= dice[2] | 1,
                    1 => sample.message.insert(place % sample.message.len(), dice[2]),
                    2 => sample.public = honest(number + seed + 1).public,
                    3 => sample.signature = honest(number + seed + 5).signature,
                    _ => {
                        let nonce = scalar(&[&dice]);
                        let r = EdwardsPoint::mul_base(&nonce) + EIGHT_TORSION[place % 8];
                        sample = Key::new(0).sign_with(nonce, r.compress().0, &sample.message);
                    }
                }
            }
            sample
        });
        let samples: Vec<Sample> = samples.collect();
        let (answered, expected) = answers(&samples);
        assert_eq!(answered, expected, "{seed}");
        assert_eq!(together(&samples) == Some(true), !expected.contains(&false), "{seed}");
    }
}
