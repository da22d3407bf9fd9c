use touchstone_runtime::Chain;

use super::*;

fn load(toml: &str) -> Result<TrustOptions, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("touchstone.toml");
    std::fs::write(&file, toml).unwrap();
    std::fs::write(directory.path().join("root.json"), TrustRoot::embedded().document()).unwrap();
    std::fs::write(directory.path().join("keys.json"), RegistryKeys::embedded().document()).unwrap();
    std::fs::write(directory.path().join("tuf.json"), EMBEDDED_TUF_ROOT).unwrap();
    std::fs::write(directory.path().join("other.json"), "{}").unwrap();
    let config = Config::load(Some(&file), &touchstone_runtime::Environment::default()).unwrap();
    TrustOptions::load(&config).map_err(|error| {
        Chain(&error).to_string().replace(directory.path().canonicalize().unwrap().to_str().unwrap(), "DIR")
    })
}

/// The start of everything when nothing is configured. Whether a real repository verifies from it cannot be tried here:
/// there is no copy of one.
#[test]
fn the_embedded_tuf_root_has_signed_itself_and_lists_each_key_once() {
    assert_eq!(
        touchstone_domain::Sha256::of(EMBEDDED_TUF_ROOT).to_string(),
        "27aea7e372aa7864065174f0661784fcf8b0e28b1dbfebeada31a0f1fb19167f",
        "another root is a decision of its own"
    );
    inspect("the pinned root", EMBEDDED_TUF_ROOT).unwrap();
    let trusted = sigstore_tuf::TrustedMetadataSet::from_root(EMBEDDED_TUF_ROOT).unwrap();
    assert_eq!((trusted.root().version, trusted.root().consistent_snapshot), (16, true));

    let forged =
        String::from_utf8(EMBEDDED_TUF_ROOT.to_vec()).unwrap().replace("\"version\": 16", "\"version\": 17");
    let refused = sigstore_tuf::TrustedMetadataSet::from_root(forged.as_bytes()).unwrap_err();
    assert_eq!(refused.to_string(), "signature threshold not met for role root: 0/3 valid signatures");
}

#[test]
fn nothing_needs_to_be_configured() {
    let options = load("").unwrap();
    assert!(options.root.is_none() && options.keys.is_none() && options.mirror.is_none() && !options.own_pin);
    assert_eq!(options.pin.keys, None);
    let options = load("[upstream.npm]\nurl = 'https://registry.example/'").unwrap();
    let path = "registry.example/keys.json".to_owned();
    assert_eq!(options.pin.keys, Some(KeysTarget { path, required: false }));
}

#[test]
fn files_are_read_at_once() {
    let toml = "[trust]\nsigstore_root = 'root.json'\nnpm_keys = 'keys.json'\ntuf_root = 'tuf.json'\n\
                tuf_url = 'https://tuf.example'\nnpm_keys_target = 'other.example/keys.json'";
    let options = load(toml).unwrap();
    assert_eq!(options.root.unwrap().digest(), TrustRoot::embedded().digest());
    assert_eq!(options.keys.unwrap().digest(), RegistryKeys::embedded().digest());
    let path = "other.example/keys.json".to_owned();
    assert_eq!(options.pin.keys, Some(KeysTarget { path, required: true }));
    assert!(options.own_pin && options.mirror.is_some());
}

#[test]
fn a_bad_file_is_an_error_that_names_it() {
    for (toml, refused) in [
        (
            "sigstore_root = 'none.json'",
            "`trust.sigstore_root`: cannot read DIR/none.json: No such file or directory",
        ),
        ("sigstore_root = 'other.json'", "`trust.sigstore_root`: DIR/other.json is refused: "),
        ("npm_keys = 'other.json'", "`trust.npm_keys`: DIR/other.json is refused: "),
        (
            "tuf_root = 'other.json'",
            "`trust.tuf_root`: DIR/other.json is refused: the pinned TUF root is refused: malformed metadata: missing `signed`",
        ),
        (
            "tuf_root = 'keys.json'",
            "`trust.tuf_root`: DIR/keys.json is refused: the pinned TUF root is refused: ",
        ),
        (
            "tuf_url = 'http://tuf.example/'",
            "`trust.tuf_url` must be https; http is for a loopback address or localhost only",
        ),
    ] {
        let problem = load(&format!("[trust]\n{toml}")).err().unwrap_or_default();
        assert!(problem.starts_with(refused), "{toml}: {problem}");
    }
}
