//! Certificates before they are signed. Every field may be made wrong.

use std::time::Duration;

use jiff::Timestamp;
use touchstone_domain::Sha256;
use x509_cert::{
    TbsCertificate, Version,
    der::{
        Decode as _, Encode,
        asn1::{GeneralizedTime, Ia5String, ObjectIdentifier, OctetString, UtcTime, Utf8StringRef},
    },
    ext::{
        Extension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, NameConstraints,
            SubjectAltName, SubjectKeyIdentifier, constraints::name::GeneralSubtree, name::GeneralName,
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};

/// What is to be certified: a subject and its key, a time, and extensions in their order.
#[derive(Clone)]
pub struct Template {
    /// The subject's name, as RFC 4514 writes it; empty for a signer.
    pub subject: String,
    /// The subject's key as DER `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// The first second of validity.
    pub not_before: Timestamp,
    /// The last second of validity.
    pub not_after: Timestamp,
    /// The extensions; the timestamps of the CT log are appended when a signer's certificate is issued.
    pub extensions: Vec<Extension>,
}

/// Extended key usages by their object identifiers.
pub mod usage {
    use super::ObjectIdentifier;

    /// Code signing: what a signer's certificate is for.
    pub const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
    /// Timestamping.
    pub const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
    /// TLS servers: wrong for either.
    pub const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
}

/// The extensions that tests take away or replace.
pub mod extension {
    use super::ObjectIdentifier;

    /// Basic constraints.
    pub const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
    /// Key usage.
    pub const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
    /// Extended key usage.
    pub const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
    /// Subject alternative name.
    pub const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
    /// Name constraints.
    pub const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
    /// The timestamps of CT logs.
    pub const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");

    /// Number `n` of the arc that Fulcio's claims live under.
    pub fn fulcio(n: u32) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1").push_arc(n).expect("short")
    }
}

impl Template {
    /// A subject without extensions.
    pub fn new(subject: &str, spki: &[u8], not_before: Timestamp, not_after: Timestamp) -> Self {
        Self { subject: subject.to_owned(), spki: spki.to_vec(), not_before, not_after, extensions: vec![] }
    }

    /// Replaces an extension, or appends it.
    pub fn set(&mut self, id: ObjectIdentifier, critical: bool, value: Vec<u8>) -> &mut Self {
        let extension =
            Extension { extn_id: id, critical, extn_value: OctetString::new(value).expect("short") };
        match self.extensions.iter_mut().find(|known| known.extn_id == id) {
            Some(known) => *known = extension,
            None => self.extensions.push(extension),
        }
        self
    }

    /// Takes an extension away.
    pub fn remove(&mut self, id: ObjectIdentifier) -> &mut Self {
        self.extensions.retain(|extension| extension.extn_id != id);
        self
    }

    /// Basic constraints and key usage of a certificate authority.
    pub fn authority(&mut self, path_length: Option<u8>) -> &mut Self {
        let constraints = BasicConstraints { ca: true, path_len_constraint: path_length };
        self.set(extension::BASIC_CONSTRAINTS, true, to_der(&constraints)).set(
            extension::KEY_USAGE,
            true,
            to_der(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)),
        )
    }

    /// Key usage of a signer.
    pub fn digital_signature(&mut self) -> &mut Self {
        self.set(extension::KEY_USAGE, true, to_der(&KeyUsage(KeyUsages::DigitalSignature.into())))
    }

    /// The extended key usages; none is no extension.
    pub fn usages(&mut self, critical: bool, usages: &[ObjectIdentifier]) -> &mut Self {
        match usages {
            [] => self.remove(extension::EXTENDED_KEY_USAGE),
            some => {
                self.set(extension::EXTENDED_KEY_USAGE, critical, to_der(&ExtendedKeyUsage(some.to_vec())))
            }
        }
    }

    /// The subject alternative names; `user@host` becomes an email address, the rest URIs.
    pub fn names(&mut self, names: &[&str]) -> &mut Self {
        let names = names
            .iter()
            .map(|name| {
                let text = Ia5String::new(name).expect("ASCII");
                if name.contains("://") {
                    GeneralName::UniformResourceIdentifier(text)
                } else {
                    GeneralName::Rfc822Name(text)
                }
            })
            .collect();
        self.set(extension::SUBJECT_ALT_NAME, true, to_der(&SubjectAltName(names)))
    }

    /// Name constraints: URIs of one host only, or of one domain if it starts with a dot.
    pub fn permit_uris(&mut self, host: &str) -> &mut Self {
        let base = GeneralName::UniformResourceIdentifier(Ia5String::new(host).expect("ASCII"));
        let permitted = vec![GeneralSubtree { base, minimum: 0, maximum: None }];
        let constraints = NameConstraints { permitted_subtrees: Some(permitted), excluded_subtrees: None };
        self.set(extension::NAME_CONSTRAINTS, true, to_der(&constraints))
    }

    /// One of Fulcio's claims, as the DER UTF8String that those from `.8` on are.
    pub fn claim(&mut self, n: u32, value: &str) -> &mut Self {
        let text = Utf8StringRef::new(value).expect("short");
        self.set(extension::fulcio(n), false, to_der(&text))
    }

    /// The identifiers of the subject's key and of the issuer's.
    pub(super) fn key_identifiers(&mut self, issuer_spki: &[u8]) -> &mut Self {
        let subject = SubjectKeyIdentifier(key_identifier(&self.spki));
        let issuer = AuthorityKeyIdentifier {
            key_identifier: Some(key_identifier(issuer_spki)),
            authority_cert_issuer: None,
            authority_cert_serial_number: None,
        };
        self.set(ObjectIdentifier::new_unwrap("2.5.29.14"), false, to_der(&subject)).set(
            ObjectIdentifier::new_unwrap("2.5.29.35"),
            false,
            to_der(&issuer),
        )
    }

    /// The part of the certificate that is signed.
    pub(super) fn to_be_signed(&self, issuer: &str, algorithm: AlgorithmIdentifierOwned) -> TbsCertificate {
        let mut serial = Sha256::of(&self.spki).0;
        serial[0] = 0x40 | (serial[0] & 0x3f);
        TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&serial[..16]).expect("positive"),
            signature: algorithm,
            issuer: name(issuer),
            validity: Validity { not_before: time(self.not_before), not_after: time(self.not_after) },
            subject: name(&self.subject),
            subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&self.spki)
                .expect("a public key's DER"),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: (!self.extensions.is_empty()).then(|| self.extensions.clone()),
        }
    }
}

/// DER of a value that fits.
pub(super) fn to_der(value: &impl Encode) -> Vec<u8> {
    value.to_der().expect("a short value encodes")
}

fn name(text: &str) -> Name {
    if text.is_empty() { Name::default() } else { text.parse().expect("a name of RFC 4514") }
}

/// A time as certificates hold it, in whole seconds.
fn time(at: Timestamp) -> Time {
    let since = since_epoch(at);
    UtcTime::from_unix_duration(since).map_or_else(
        |_| Time::GeneralTime(GeneralizedTime::from_unix_duration(since).expect("before the year 10000")),
        Time::UtcTime,
    )
}

pub(super) fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).expect("after 1970"))
}

fn key_identifier(spki: &[u8]) -> OctetString {
    OctetString::new(&Sha256::of(spki).0[..20]).expect("short")
}
