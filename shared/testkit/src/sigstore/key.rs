//! Key pairs, made when asked for and never stored.

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
        EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use touchstone_domain::Sha256;
use x509_cert::{der::asn1::ObjectIdentifier, spki::AlgorithmIdentifierOwned};

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_WITH_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The algorithm of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA P-256 with SHA-256: certificates, the first log, timestamps, registries.
    P256,
    /// ECDSA P-384 with SHA-384.
    P384,
    /// ECDSA P-521 with SHA-512.
    P521,
    /// Ed25519: the second log.
    Ed25519,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key with its public half.
pub struct KeyPair {
    kind: KeyKind,
    pair: Pair,
    spki: Vec<u8>,
}

impl KeyPair {
    /// A new key.
    pub fn generate(kind: KeyKind) -> Self {
        let ecdsa = |algorithm| {
            let pair = EcdsaKeyPair::generate(algorithm).expect("the system has randomness");
            let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a key encodes");
            (spki.as_ref().to_vec(), Pair::Ecdsa(pair))
        };
        let (spki, pair) = match kind {
            KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyKind::P521 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            KeyKind::Ed25519 => {
                let pair = Ed25519KeyPair::generate().expect("the system has randomness");
                let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a key encodes");
                (spki.as_ref().to_vec(), Pair::Ed25519(pair))
            }
        };
        Self { kind, pair, spki }
    }

    /// A signature over `message`: DER for ECDSA, 64 bytes for Ed25519.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Ecdsa(pair) => {
                pair.sign(&SystemRandom::new(), message).expect("the system has randomness").as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The public key without its algorithm: a point, or the 32 bytes of Ed25519.
    pub fn raw_public(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// SHA-256 of [`KeyPair::spki`].
    pub fn id(&self) -> [u8; 32] {
        Sha256::of(&self.spki).0
    }

    /// The public key as PEM.
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// The name that sigstore's protobuf specification gives to the algorithm.
    pub fn details(&self) -> &'static str {
        match self.kind {
            KeyKind::P256 => "PKIX_ECDSA_P256_SHA_256",
            KeyKind::P384 => "PKIX_ECDSA_P384_SHA_384",
            KeyKind::P521 => "PKIX_ECDSA_P521_SHA_512",
            KeyKind::Ed25519 => "PKIX_ED25519",
        }
    }

    pub(super) fn signature_algorithm(&self) -> AlgorithmIdentifierOwned {
        let oid = match self.kind {
            KeyKind::P256 => ECDSA_WITH_SHA256,
            KeyKind::P384 => ECDSA_WITH_SHA384,
            KeyKind::P521 => ECDSA_WITH_SHA512,
            KeyKind::Ed25519 => ED25519,
        };
        AlgorithmIdentifierOwned { oid, parameters: None }
    }
}

/// DER in PEM armour, 64 characters to a line.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        out.push('\n');
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}
