//! The signing certificate: what Fulcio says about the signer, and what of it must hold beside the library's checks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_verify::{
    crypto::KeyAlgorithm,
    types::{
        Bundle, DerPublicKey, MediaType, SignatureContent, VerificationMaterialContent, X509Certificate,
    },
};
use x509_cert::{
    Certificate as X509,
    der::{
        Decode as _, Encode as _,
        asn1::{OctetString, Utf8StringRef},
        oid::ObjectIdentifier,
    },
    ext::{
        Extension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SignedCertificateTimestampList,
            SubjectAltName, SubjectKeyIdentifier, name::GeneralName,
        },
    },
    time::Time,
};

use crate::{Problem, Refused};

const ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");

/// The kind of name that the certificate gives its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SanKind {
    /// A URI: a workload, on GitHub the workflow file with its ref.
    Uri,
    /// An e-mail address: a person.
    Email,
}

/// The identity in a verified certificate. Fields are the Fulcio extensions 1.3.6.1.4.1.57264.1.x, whose number is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The one subject alternative name.
    pub san: String,
    /// Its kind.
    pub san_kind: SanKind,
    /// .8: the OIDC issuer. Absent for certificates from before it existed; the deprecated .1 is not read.
    pub issuer: Option<String>,
    /// .9: the build instructions that the signer ran.
    pub build_signer_uri: Option<String>,
    /// .10: their commit.
    pub build_signer_digest: Option<String>,
    /// .11: `github-hosted`, `self-hosted`.
    pub runner_environment: Option<String>,
    /// .12: the source repository.
    pub source_repository_uri: Option<String>,
    /// .13: its commit.
    pub source_repository_digest: Option<String>,
    /// .14: its ref.
    pub source_repository_ref: Option<String>,
    /// .15: the forge's immutable id of it.
    pub repository_id: Option<String>,
    /// .16: its owner.
    pub owner_uri: Option<String>,
    /// .17: the forge's immutable id of the owner.
    pub owner_id: Option<String>,
    /// .18: the top-level build instructions.
    pub build_config_uri: Option<String>,
    /// .19: their commit.
    pub build_config_digest: Option<String>,
    /// .20: the event that began the build.
    pub trigger: Option<String>,
    /// .21: the run.
    pub run_invocation_uri: Option<String>,
    /// .22: the repository's visibility when it was signed.
    pub visibility: Option<String>,
    /// .23: the deployment environment.
    pub environment: Option<String>,
    /// .24: the token's subject.
    pub token_subject: Option<String>,
    /// When it began to be valid, inclusive.
    pub not_before: Timestamp,
    /// When it ceased to be valid, inclusive.
    pub not_after: Timestamp,
}

/// A certificate authority's certificate in the trust root.
pub(crate) struct Issuer {
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    not_before: Timestamp,
    not_after: Timestamp,
    /// How many authorities there may be below it.
    path_length: Option<u8>,
}

impl Issuer {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, Refused> {
        let parsed = decode(der)?;
        let (not_before, not_after) = validity(&parsed)?;
        let constraints =
            parsed.tbs_certificate.get::<BasicConstraints>().map_err(|e| refuse(e.to_string()))?;
        let path_length = constraints.and_then(|(_critical, constraints)| constraints.path_len_constraint);
        let subject = name_der(&parsed.tbs_certificate.subject)?;
        let key_id = parsed.tbs_certificate.get::<SubjectKeyIdentifier>().ok().flatten();
        let key_id = key_id.map(|(_critical, id)| id.0.into_bytes());
        Ok(Self { subject, key_id, not_before, not_after, path_length })
    }

    /// Whether it may have issued a certificate that names its issuer so. Authorities keep their name when their key changes.
    fn is(&self, named: &Named) -> bool {
        let same_key = match (&self.key_id, &named.key_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => true,
        };
        self.subject == named.name && same_key
    }
}

/// How a certificate names its issuer.
struct Named {
    name: Vec<u8>,
    key_id: Option<Vec<u8>>,
}

impl Named {
    fn by(parsed: &X509) -> Result<Self, Refused> {
        let key = parsed.tbs_certificate.get::<AuthorityKeyIdentifier>().ok().flatten();
        let key_id = key.and_then(|(_critical, key)| key.key_identifier).map(OctetString::into_bytes);
        Ok(Self { name: name_der(&parsed.tbs_certificate.issuer)?, key_id })
    }
}

/// A signing certificate, read but not yet verified.
pub(crate) struct Unverified {
    pub(crate) identity: Certificate,
    /// The issuers from the leaf upwards, as far as the bundle's chain goes.
    issuers: Vec<Named>,
    /// The id of the log that it says that it is in, when it can be read and is one.
    log: Option<[u8; 32]>,
}

impl Unverified {
    /// The refusal of this certificate in other words when it, or the log that it names, is one that is not known here. Its own
    /// words are not verified, so they only say why it is not accepted.
    pub(crate) fn explain(
        &self,
        refused: Refused,
        authorities: &[Issuer],
        certificate_logs: &[[u8; 32]],
    ) -> Refused {
        let known = || self.issuers.iter().any(|named| authorities.iter().any(|a| a.is(named)));
        let of_certificate = matches!(refused.problem, Problem::Certificate | Problem::CertificateTime);
        if of_certificate && !known() {
            return Refused::new(Problem::UnknownAuthority, refused.detail);
        }
        match self.log {
            Some(log) if refused.problem == Problem::Sct && !certificate_logs.contains(&log) => {
                Refused::new(Problem::UnknownCertificateLog, refused.detail)
            }
            Some(_) | None => refused,
        }
    }

    /// The certificate of the authority must itself have been valid, and allow a path of this length: the library trusts those
    /// in the trust root at any time within the window that the root gives, and with anything below them.
    pub(crate) fn check_issuer(
        &self,
        authorities: &[Issuer],
        signed_at: &[Timestamp],
    ) -> Result<(), Refused> {
        let known = |named: &Named| authorities.iter().any(|a| a.subject == named.name);
        let Some((below, Named { name, .. })) =
            self.issuers.iter().enumerate().find(|(_below, named)| known(named))
        else {
            return Err(Refused::new(Problem::UnknownAuthority, "its issuer is not in the trust root"));
        };
        let valid = |a: &Issuer| signed_at.iter().all(|time| a.not_before <= *time && *time <= a.not_after);
        let mut named = authorities.iter().filter(|a| a.subject == *name).filter(|a| valid(a)).peekable();
        if named.peek().is_none() {
            let detail = "the issuing authority's certificate was not valid";
            return Err(Refused::new(Problem::CertificateTime, detail));
        }
        if named.any(|a| a.path_length.is_none_or(|length| below <= usize::from(length))) {
            return Ok(());
        }
        Err(refuse("there are more authorities in the chain than the issuing one allows"))
    }
}

fn refuse(detail: impl AsRef<str>) -> Refused {
    Refused::new(Problem::Certificate, detail)
}

fn decode(der: &[u8]) -> Result<X509, Refused> {
    X509::from_der(der).map_err(|e| refuse(e.to_string()))
}

fn name_der(name: &x509_cert::name::Name) -> Result<Vec<u8>, Refused> {
    name.to_der().map_err(|e| refuse(e.to_string()))
}

fn validity(parsed: &X509) -> Result<(Timestamp, Timestamp), Refused> {
    let read = |time: &Time| Timestamp::try_from(time.to_system_time()).map_err(|e| refuse(e.to_string()));
    let validity = &parsed.tbs_certificate.validity;
    Ok((read(&validity.not_before)?, read(&validity.not_after)?))
}

/// Reads the signing certificate of a bundle, if it has one.
pub(crate) fn parse(bundle: &Bundle) -> Result<Option<Unverified>, Refused> {
    let (leaf, above): (_, &[X509Certificate]) = match &bundle.verification_material.content {
        VerificationMaterialContent::Certificate(leaf) => (&leaf.raw_bytes, &[]),
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            let Some((leaf, above)) = certificates.split_first() else {
                return Err(refuse("the chain is empty"));
            };
            (&leaf.raw_bytes, above)
        }
        _ => return Ok(None),
    };
    let parsed = decode(leaf.as_bytes())?;
    let identity = identity(&parsed)?;
    let log = log(&parsed);
    let mut issuers = vec![Named::by(&parsed)?];
    // npm published whole chains in 2023, so a root is let through in what can only be such a bundle; it adds no trust.
    let of_2023 = bundle.media_type == MediaType::Bundle0_1
        && matches!(bundle.content, SignatureContent::DsseEnvelope(_));
    for certificate in above {
        let parsed = decode(certificate.raw_bytes.as_bytes())?;
        let subject = name_der(&parsed.tbs_certificate.subject)?;
        let issuer = Named::by(&parsed)?;
        if issuer.name == subject && !of_2023 {
            return Err(refuse("the chain holds a root"));
        }
        if issuers.last().is_none_or(|below| below.name != subject) {
            return Err(refuse("the chain holds a certificate that is not the issuer of the one before"));
        }
        issuers.push(issuer);
    }
    Ok(Some(Unverified { identity, issuers, log }))
}

/// The log of its one timestamp.
fn log(parsed: &X509) -> Option<[u8; 32]> {
    let (_critical, list) = parsed.tbs_certificate.get::<SignedCertificateTimestampList>().ok()??;
    match list.parse_timestamps().ok()?.as_slice() {
        [one] => Some(one.parse_timestamp().ok()?.log_id.key_id),
        _ => None,
    }
}

fn identity(parsed: &X509) -> Result<Certificate, Refused> {
    let tbs = &parsed.tbs_certificate;
    let extensions = tbs.extensions.as_deref().unwrap_or_default();
    for (at, extension) in extensions.iter().enumerate() {
        if extensions[..at].iter().any(|before| before.extn_id == extension.extn_id) {
            return Err(refuse(format!("extension {} stands twice", extension.extn_id)));
        }
    }
    let key = tbs.subject_public_key_info.to_der().map_err(|e| refuse(e.to_string()))?;
    KeyAlgorithm::from_spki(&DerPublicKey::new(key))
        .map_err(|e| Refused::new(Problem::UnsupportedKey, e.to_string()))?;
    let usage = tbs.get::<KeyUsage>().map_err(|e| refuse(e.to_string()))?;
    if !usage.is_some_and(|(_critical, usage)| usage.digital_signature()) {
        return Err(refuse("its key is not for signatures"));
    }
    let (san_kind, san) = subject_name(parsed)?;
    let (not_before, not_after) = validity(parsed)?;
    let claim = |number| claim(extensions, number);
    Ok(Certificate {
        san,
        san_kind,
        issuer: claim(8)?,
        build_signer_uri: claim(9)?,
        build_signer_digest: claim(10)?,
        runner_environment: claim(11)?,
        source_repository_uri: claim(12)?,
        source_repository_digest: claim(13)?,
        source_repository_ref: claim(14)?,
        repository_id: claim(15)?,
        owner_uri: claim(16)?,
        owner_id: claim(17)?,
        build_config_uri: claim(18)?,
        build_config_digest: claim(19)?,
        trigger: claim(20)?,
        run_invocation_uri: claim(21)?,
        visibility: claim(22)?,
        environment: claim(23)?,
        token_subject: claim(24)?,
        not_before,
        not_after,
    })
}

/// Exactly one name: with two, somebody else might look at the other.
fn subject_name(parsed: &X509) -> Result<(SanKind, String), Refused> {
    let names = parsed.tbs_certificate.get::<SubjectAltName>().map_err(|e| refuse(e.to_string()))?;
    let names = names.map(|(_critical, names)| names.0).unwrap_or_default();
    let (kind, name) = match names.as_slice() {
        [GeneralName::UniformResourceIdentifier(uri)] => (SanKind::Uri, uri.as_str()),
        [GeneralName::Rfc822Name(email)] => (SanKind::Email, email.as_str()),
        [_] => return Err(refuse("its subject is neither a URI nor an e-mail address")),
        names => return Err(refuse(format!("it has {} subject alternative names", names.len()))),
    };
    if name.is_empty() {
        return Err(refuse("its subject is empty"));
    }
    Ok((kind, name.to_owned()))
}

/// An extension from .8 on: a UTF8String, DER.
fn claim(extensions: &[Extension], number: u32) -> Result<Option<String>, Refused> {
    let Ok(oid) = ARC.push_arc(number) else { return Ok(None) };
    let Some(extension) = extensions.iter().find(|extension| extension.extn_id == oid) else {
        return Ok(None);
    };
    let text = Utf8StringRef::from_der(extension.extn_value.as_bytes())
        .map_err(|e| refuse(format!("extension {oid}: {e}")))?;
    Ok(Some(text.as_str().to_owned()))
}
