use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use sigstore::crypto::{SigningScheme, signing_key::SigStoreKeyPair};

use super::*;

/// The private key of 32 sevens, as Python's `cryptography` writes it (PKCS #8 version 1).
const PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH
-----END PRIVATE KEY-----
";

fn problem(pem: &str, password: Option<&str>) -> String {
    match LocalSigner::from_pem(KeyKind::Hash, pem, password) {
        Err(SignError::Key(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

fn signs(signer: &LocalSigner) -> bool {
    let signature = signer.sign(b"message").expect("signs");
    let public = signer.public();
    UnparsedPublicKey::new(&ED25519, public.raw()).verify(b"message", &signature).is_ok()
}

#[test]
fn a_key_is_read_from_the_pem_of_other_tools() {
    for pem in [PEM.to_owned(), PEM.replace('\n', "\r\n"), format!("\n{PEM}\n")] {
        let signer = LocalSigner::from_pem(KeyKind::Hash, &pem, None).expect("reads");
        let id = "bfe1a83869e5bf574e3ff3acbb83f840de84a990d10059f3096f0bf4f2b90c10";
        assert_eq!((signer.kind(), signer.key_id().to_string().as_str()), (KeyKind::Hash, id));
        assert_eq!(signer.seed(), [7; 32]);
        assert!(signs(&signer));
    }
    let seeded = LocalSigner::from_seed(KeyKind::Hash, [7; 32]).expect("a key");
    assert_eq!(seeded.public(), LocalSigner::from_pem(KeyKind::Hash, PEM, None).expect("reads").public());
    // a password is for keys that are encrypted
    assert!(LocalSigner::from_pem(KeyKind::Hash, PEM, Some("secret")).is_ok());
}

#[test]
fn a_new_key_is_read_back() {
    let (signer, pem) = LocalSigner::generate(KeyKind::Promote, None).expect("a key");
    let read = LocalSigner::from_pem(KeyKind::Promote, &pem, None).expect("reads");
    assert_eq!((read.public(), read.seed()), (signer.public(), signer.seed()));
    assert!(signs(&signer) && signs(&read));
    assert_eq!(pem.len(), PEM.len(), "the version that other tools read");
    let (another, _) = LocalSigner::generate(KeyKind::Promote, None).expect("a key");
    assert_ne!(another.public(), signer.public());
}

#[test]
fn an_encrypted_key_opens_with_its_password_only() {
    let (signer, pem) = LocalSigner::generate(KeyKind::Hash, Some("secret")).expect("a key");
    assert!(pem.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"));
    let read = LocalSigner::from_pem(KeyKind::Hash, &pem, Some("secret")).expect("reads");
    assert_eq!(read.seed(), signer.seed());
    let refused = "it does not open with this password, or what it holds is no Ed25519 key";
    assert_eq!(problem(&pem, Some("Secret")), refused);
    for none in [None, Some("")] {
        assert_eq!(problem(&pem, none), "it is encrypted, and no password is given");
    }
    assert!(matches!(LocalSigner::generate(KeyKind::Hash, Some("")), Err(SignError::Key(_))));
    // what would have the library panic or work for ever
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let json = String::from_utf8(STANDARD.decode(body).expect("base64")).expect("text");
    let nonce = json.split("\"nonce\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
    for (from, to, expected) in [
        (nonce, "AAAA", "it is damaged"),
        (nonce, "?", "it is damaged"),
        ("\"cipher\"", "\"cypher\"", "it is damaged"),
        ("\"N\":32768", "\"N\":1073741824", refused),
        ("\"scrypt\"", "\"other\"", refused),
    ] {
        let changed = STANDARD.encode(json.replace(from, to));
        let label = "ENCRYPTED COSIGN PRIVATE KEY";
        let pem = format!("-----BEGIN {label}-----\n{changed}\n-----END {label}-----\n");
        assert_eq!(problem(&pem, Some("secret")), expected, "{to}");
    }
}

#[test]
fn other_keys_and_garbage_are_refused() {
    let other = SigningScheme::ECDSA_P256_SHA256_ASN1.create_signer().expect("a signer");
    let SigStoreKeyPair::ECDSA(keys) = other.to_sigstore_keypair().expect("keys") else { panic!("ECDSA") };
    let ecdsa = keys.as_inner().private_key_to_pem().expect("PEM");
    let no_key = "what it holds is no Ed25519 key";
    assert_eq!(problem(&ecdsa, None), no_key);
    assert_eq!(problem(&PEM.replace("MC4C", "MC4D"), None), no_key);
    assert_eq!(problem(&PEM.replace("MC4C", "M?4C"), None), no_key);
    assert_eq!(problem(&PEM.replace("-----END", "----END"), None), no_key);
    let public = LocalSigner::from_seed(KeyKind::Hash, [7; 32]).expect("a key").public().to_pem();
    assert_eq!(problem(&public, None), "it is a \"PUBLIC KEY\"");
    assert_eq!(problem("", None), "it is no PEM");
    assert_eq!(problem(&" ".repeat(PEM_BYTES_MAX + 1), None), "it is too long");
}

#[test]
fn a_key_does_not_print_itself() {
    let signer = LocalSigner::from_seed(KeyKind::Log, [7; 32]).expect("a key");
    assert_eq!(format!("{signer:?}"), format!("LocalSigner(log, {})", signer.key_id()));
}
