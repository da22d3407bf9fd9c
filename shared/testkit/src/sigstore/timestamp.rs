//! The timestamp authority: tokens of RFC 3161.

use cms::{
    cert::{CertificateChoices, IssuerAndSerialNumber},
    content_info::{CmsVersion, ContentInfo},
    signed_data::{
        CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
    },
};
use jiff::Timestamp;
use touchstone_domain::{Sha256, Sha512};
use x509_cert::{
    Certificate,
    attr::Attribute,
    der::{
        Any, Decode as _, Sequence, Tag,
        asn1::{GeneralizedTime, Int, ObjectIdentifier, OctetString, SetOfVec},
    },
    spki::AlgorithmIdentifierOwned,
};

use super::{
    authority::{sign, years_around},
    certificate::{Template, since_epoch, to_der, usage},
    key::{KeyKind, KeyPair},
};

const ROOT: &str = "CN=testkit-tsa-root,O=testkit.example";
const LEAF: &str = "CN=testkit-tsa,O=testkit.example";
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// A timestamp authority: a root, and the certificate that signs tokens.
pub struct TimestampAuthority {
    /// The signing key, P-256.
    pub key: KeyPair,
    /// The signing certificate, DER.
    pub leaf: Vec<u8>,
    /// The root's certificate, DER.
    pub root: Vec<u8>,
}

/// A token before it is signed. Every field may be made wrong.
#[derive(Clone, Debug)]
pub struct TokenTemplate {
    /// The bytes that the token is about: the bundle's signature, if it is honest.
    pub message: Vec<u8>,
    /// The time it vouches for.
    pub at: Timestamp,
    /// The authority's policy.
    pub policy: &'static str,
    /// Names SHA-512 as the signer's digest where SHA-256 was used.
    pub wrong_digest_algorithm: bool,
    /// Carries the certificate of somebody else.
    pub foreign_certificate: Option<Vec<u8>>,
    /// Breaks the signature.
    pub break_signature: bool,
}

impl TokenTemplate {
    /// A token over `message` at `at`.
    pub fn new(message: &[u8], at: Timestamp) -> Self {
        Self {
            message: message.to_vec(),
            at,
            policy: "1.3.6.1.4.1.57264.2",
            wrong_digest_algorithm: false,
            foreign_certificate: None,
            break_signature: false,
        }
    }
}

impl TimestampAuthority {
    /// An authority whose certificates are valid for years around `now`.
    pub fn new(now: Timestamp) -> Self {
        Self::with_leaf(now, |_| ())
    }

    /// The same, with the signing certificate changed before the root signs it.
    pub fn with_leaf(now: Timestamp, change: impl FnOnce(&mut Template)) -> Self {
        let (root_key, key) = (KeyPair::generate(KeyKind::P256), KeyPair::generate(KeyKind::P256));
        let (from, until) = years_around(now);
        let mut root = Template::new(ROOT, root_key.spki(), from, until);
        root.authority(Some(0)).key_identifiers(root_key.spki());
        let mut leaf = Template::new(LEAF, key.spki(), from, until);
        leaf.digital_signature().usages(true, &[usage::TIME_STAMPING]).key_identifiers(root_key.spki());
        change(&mut leaf);
        Self { root: sign(&root, ROOT, &root_key), leaf: sign(&leaf, ROOT, &root_key), key }
    }

    /// `TimeStampResp`, granted, DER.
    pub fn token(&self, template: &TokenTemplate) -> Vec<u8> {
        let info = to_der(&TstInfo::over(template));
        let digest = if template.wrong_digest_algorithm { SHA512 } else { SHA256 };
        let attributes = SetOfVec::try_from(vec![
            attribute(CONTENT_TYPE, Any::encode_from(&TST_INFO).expect("short")),
            attribute(MESSAGE_DIGEST, octets(&Sha256::of(&info).0)),
        ])
        .expect("two attributes");
        let mut signature = self.key.sign(&to_der(&attributes));
        if template.break_signature {
            *signature.last_mut().expect("not empty") ^= 1;
        }
        let certificate = Certificate::from_der(&self.leaf).expect("its own certificate").tbs_certificate;
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: certificate.issuer,
                serial_number: certificate.serial_number,
            }),
            digest_alg: algorithm(digest),
            signed_attrs: Some(attributes),
            signature_algorithm: self.key.signature_algorithm(),
            signature: OctetString::new(signature).expect("short"),
            unsigned_attrs: None,
        };
        let embedded = template.foreign_certificate.as_ref().map(|certificate| {
            let certificate = Certificate::from_der(certificate).expect("a certificate");
            let certificates = SetOfVec::try_from(vec![CertificateChoices::Certificate(certificate)]);
            CertificateSet(certificates.expect("one"))
        });
        let content = SignedData {
            version: CmsVersion::V3,
            digest_algorithms: SetOfVec::try_from(vec![algorithm(digest)]).expect("one"),
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: TST_INFO,
                econtent: Some(octets(&info)),
            },
            certificates: embedded,
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer]).expect("one")),
        };
        let content = Any::encode_from(&content).expect("short");
        let token = ContentInfo { content_type: SIGNED_DATA, content };
        to_der(&Response { status: Status { status: 0 }, token: Any::encode_from(&token).expect("short") })
    }
}

/// `TSTInfo` of RFC 3161 2.4.2, without its optional parts.
#[derive(Sequence)]
struct TstInfo {
    version: u8,
    policy: ObjectIdentifier,
    imprint: Imprint,
    serial: Int,
    at: GeneralizedTime,
}

#[derive(Sequence)]
struct Imprint {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

#[derive(Sequence)]
struct Status {
    status: u8,
}

#[derive(Sequence)]
struct Response {
    status: Status,
    token: Any,
}

impl TstInfo {
    fn over(template: &TokenTemplate) -> Self {
        let digest = Sha512::of(&template.message).0;
        Self {
            version: 1,
            policy: ObjectIdentifier::new_unwrap(template.policy),
            imprint: Imprint {
                algorithm: algorithm(SHA512),
                digest: OctetString::new(digest).expect("short"),
            },
            serial: Int::new(&[1, digest[0], digest[1], digest[2]]).expect("short"),
            at: GeneralizedTime::from_unix_duration(since_epoch(template.at)).expect("before the year 10000"),
        }
    }
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: None }
}

fn octets(bytes: &[u8]) -> Any {
    Any::new(Tag::OctetString, bytes).expect("short")
}

fn attribute(oid: ObjectIdentifier, value: Any) -> Attribute {
    Attribute { oid, values: SetOfVec::try_from(vec![value]).expect("one value") }
}
