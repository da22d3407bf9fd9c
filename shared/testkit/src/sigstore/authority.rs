//! The certificate authority (a root and an intermediate), and the CT log that its certificates go through (RFC 6962).

use jiff::{Span, Timestamp};
use touchstone_domain::Sha256;
use x509_cert::{
    Certificate,
    der::asn1::{BitString, OctetString},
    ext::Extension,
};

use super::{
    certificate::{Template, extension, to_der, usage},
    key::{KeyKind, KeyPair},
};

const ROOT: &str = "CN=testkit-root,O=testkit.example";
const INTERMEDIATE: &str = "CN=testkit-intermediate,O=testkit.example";

/// A root and an intermediate, both P-256. The intermediate issues.
pub struct Authority {
    /// The intermediate's name, as RFC 4514 writes it.
    pub name: String,
    /// The intermediate's key.
    pub key: KeyPair,
    /// The root's certificate, DER.
    pub root: Vec<u8>,
    /// The intermediate's certificate, DER.
    pub intermediate: Vec<u8>,
}

impl Authority {
    /// An authority whose certificates are valid for years around `now`.
    pub fn new(now: Timestamp) -> Self {
        Self::with_intermediate(now, |_| ())
    }

    /// The same, with the intermediate's certificate changed before the root signs it.
    pub fn with_intermediate(now: Timestamp, change: impl FnOnce(&mut Template)) -> Self {
        let (root_key, key) = (KeyPair::generate(KeyKind::P256), KeyPair::generate(KeyKind::P256));
        let (from, until) = years_around(now);
        let mut root = Template::new(ROOT, root_key.spki(), from, until);
        root.authority(Some(1)).key_identifiers(root_key.spki());
        let mut intermediate = Template::new(INTERMEDIATE, key.spki(), from, until);
        intermediate
            .authority(Some(0))
            .usages(false, &[usage::CODE_SIGNING])
            .key_identifiers(root_key.spki());
        change(&mut intermediate);
        Self {
            root: sign(&root, ROOT, &root_key),
            intermediate: sign(&intermediate, ROOT, &root_key),
            name: INTERMEDIATE.to_owned(),
            key,
        }
    }

    /// An authority below this one. A chain of a bundle holds its certificate; no trusted root does.
    #[must_use]
    pub fn subordinate(&self, now: Timestamp) -> Self {
        let (name, key) = ("CN=testkit-subordinate,O=testkit.example", KeyPair::generate(KeyKind::P256));
        let (from, until) = years_around(now);
        let mut template = Template::new(name, key.spki(), from, until);
        template.authority(None).usages(false, &[usage::CODE_SIGNING]).key_identifiers(self.key.spki());
        let root = self.root.clone();
        Self { intermediate: self.issue(&template), root, name: name.to_owned(), key }
    }

    /// Issues a certificate as it stands, DER, without any CT log.
    pub fn issue(&self, template: &Template) -> Vec<u8> {
        sign(template, &self.name, &self.key)
    }

    /// Issues a signer's certificate, DER, with the identifiers of both keys: the CT log signs the precertificate, then the
    /// authority signs the certificate with the log's timestamps in it.
    pub fn issue_logged(&self, template: &Template, log: &CtLog, sct: &SctTemplate) -> Vec<u8> {
        let mut template = template.clone();
        template.key_identifiers(self.key.spki());
        let precertificate = template.to_be_signed(&self.name, self.key.signature_algorithm());
        let one = log.timestamp(&to_der(&precertificate), &self.key, sct);
        if sct.count > 0 {
            let mut list = Vec::new();
            for _ in 0..sct.count {
                list.extend(with_length(&one));
            }
            let value = to_der(&OctetString::new(with_length(&list)).expect("short"));
            template.extensions.push(Extension {
                extn_id: extension::SCT_LIST,
                critical: false,
                extn_value: OctetString::new(value).expect("short"),
            });
        }
        self.issue(&template)
    }
}

/// A certificate transparency log: a key that signs precertificates.
pub struct CtLog {
    /// The log's key, P-256.
    pub key: KeyPair,
}

/// The timestamp of a CT log before it is signed. Every field may be made wrong.
#[derive(Clone, Debug)]
pub struct SctTemplate {
    /// How many copies the certificate holds; one is honest.
    pub count: usize,
    /// When the log saw the precertificate.
    pub at: Timestamp,
    /// The log's extensions; empty in practice, permitted by the specification.
    pub extensions: Vec<u8>,
    /// Signs another precertificate than the one shown.
    pub other_precertificate: bool,
    /// Breaks the signature.
    pub break_signature: bool,
}

impl SctTemplate {
    /// One timestamp made at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self { count: 1, at, extensions: vec![], other_precertificate: false, break_signature: false }
    }
}

impl CtLog {
    /// A log with a new key.
    pub fn new() -> Self {
        Self { key: KeyPair::generate(KeyKind::P256) }
    }

    /// `SignedCertificateTimestamp` of RFC 6962 3.2 over a precertificate.
    fn timestamp(&self, precertificate: &[u8], issuer: &KeyPair, sct: &SctTemplate) -> Vec<u8> {
        let millis = u64::try_from(sct.at.as_millisecond()).expect("after 1970").to_be_bytes();
        let size = u32::try_from(precertificate.len()).expect("short").to_be_bytes();
        let mut signed = vec![0, 0];
        signed.extend(millis);
        signed.extend([0, 1]);
        signed.extend(Sha256::of(issuer.spki()).0);
        signed.extend(&size[1..]);
        signed.extend(precertificate);
        if sct.other_precertificate {
            *signed.last_mut().expect("not empty") ^= 1;
        }
        signed.extend(with_length(&sct.extensions));
        let mut signature = self.key.sign(&signed);
        if sct.break_signature {
            *signature.last_mut().expect("not empty") ^= 1;
        }
        let mut out = vec![0];
        out.extend(self.key.id());
        out.extend(millis);
        out.extend(with_length(&sct.extensions));
        out.extend([4, 3]);
        out.extend(with_length(&signature));
        out
    }
}

impl Default for CtLog {
    fn default() -> Self {
        Self::new()
    }
}

/// A certificate over a template, DER.
pub(super) fn sign(template: &Template, issuer: &str, key: &KeyPair) -> Vec<u8> {
    let algorithm = key.signature_algorithm();
    let tbs_certificate = template.to_be_signed(issuer, algorithm.clone());
    let signature = BitString::from_bytes(&key.sign(&to_der(&tbs_certificate))).expect("short");
    to_der(&Certificate { tbs_certificate, signature_algorithm: algorithm, signature })
}

/// Two years before, ten years after.
pub(super) fn years_around(now: Timestamp) -> (Timestamp, Timestamp) {
    let day = Span::new().hours(24);
    let shift = |days: i64| now + day.checked_mul(days).expect("a few years");
    (shift(-730), shift(3650))
}

/// Bytes after their length in two bytes, as TLS writes vectors.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(bytes.len()).expect("short").to_be_bytes().to_vec();
    out.extend(bytes);
    out
}
