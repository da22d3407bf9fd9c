use std::sync::Arc;

use jiff::Span;
use touchstone_runtime::{Config, Environment};
use touchstone_testkit::{sigstore::Sigstore, tuf::TufRepository};

use super::*;
use crate::trust::{
    choice::choose,
    set::{KeysTarget, TufSet, verify},
};

const MIRROR: &str = "tuf_url = 'https://tuf.example/'";
const KEYS: &str = "registry.example/keys.json";

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn hours(hours: i64) -> Timestamp {
    now() + Span::new().hours(hours)
}

/// The options of `[trust]` with these keys.
fn options(keys: &str) -> TrustOptions {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("touchstone.toml");
    let sigstore = Sigstore::new();
    std::fs::write(directory.path().join("root.json"), sigstore.trusted_root_json()).unwrap();
    std::fs::write(directory.path().join("keys.json"), sigstore.registry_keys_json()).unwrap();
    std::fs::write(&file, format!("[trust]\n{keys}\n[upstream.npm]\nurl = 'https://registry.example/'"))
        .unwrap();
    let config = Config::load(Some(&file), &Environment::default()).unwrap();
    TrustOptions::load(&config).unwrap()
}

/// A set whose timestamp expires in a week, with the registry's keys or without.
fn set(with_keys: bool) -> Arc<TufSet> {
    let sigstore = Sigstore::new();
    let mut repository = TufRepository::new(now());
    repository.target("targets", "trusted_root.json", &sigstore.trusted_root_json());
    if with_keys {
        repository.target("targets", KEYS, &sigstore.registry_keys_json());
    }
    repository.publish();
    let keys = Some(KeysTarget { path: KEYS.to_owned(), required: false });
    let pin = crate::trust::set::Pin { root: repository.pin(), keys };
    Arc::new(verify(&pin, &Arc::new(repository.files)).unwrap())
}

fn told(options: &TrustOptions, loaded: &Loaded, stored: Option<Timestamp>, now: Timestamp) -> Told {
    tell(options, (loaded, &choose(options, loaded)), stored, now)
}

/// What is said: whether anything can be verified, and the worries.
fn words(told: Told) -> (bool, Vec<(ConcernLevel, String)>) {
    let concerns = told.concerns.into_iter().map(|concern| (concern.level, concern.text)).collect();
    (told.unavailable.is_none(), concerns)
}

fn warning(text: &str) -> (bool, Vec<(ConcernLevel, String)>) {
    (true, vec![(ConcernLevel::Warning, text.to_owned())])
}

fn alarm(text: &str) -> (bool, Vec<(ConcernLevel, String)>) {
    (false, vec![(ConcernLevel::Alarm, text.to_owned())])
}

#[test]
fn each_standing_of_a_set_has_its_words() {
    let (options, loaded) = (options(MIRROR), Ok(Some(set(true))));
    let week = 7 * 24;
    let second = Duration::from_secs(1);
    let none = (true, vec![]);
    let expiring = warning("the TUF timestamp metadata expires at 2026-11-29T12:00:00Z");
    let grace = warning(
        "the TUF timestamp metadata expired at 2026-11-29T12:00:00Z; it counts until 2026-12-06T12:00:00Z, and nothing is \
         verified afterwards",
    );
    let expired = alarm(
        "no attestation can be verified: the TUF timestamp metadata expired at 2026-11-29T12:00:00Z, and the grace of \
         604800s is over; `touchstone trust refresh` or `import` renews it",
    );
    for (at, expected) in [
        (now(), &none),
        (hours(week - 72), &none),
        (hours(week - 72) + second, &expiring),
        (hours(week), &expiring),
        (hours(week) + second, &grace),
        (hours(2 * week), &grace),
        (hours(2 * week) + second, &expired),
    ] {
        let told = told(&options, &loaded, Some(now()), at);
        assert_eq!(told.refreshed, Some(true));
        assert_eq!(&words(told), expected, "{at}");
        // A clock that is behind sees no other standing; that it is behind is one more worry.
        let behind = words(tell(&options, (&loaded, &choose(&options, &loaded)), Some(at), hours(-24)));
        assert_eq!((behind.0, &behind.1[..expected.1.len()]), (expected.0, &expected.1[..]), "{at}");
        assert_eq!(behind.1.len(), expected.1.len() + 1);
    }
}

#[test]
fn what_was_never_refreshed_is_said_where_there_is_a_mirror() {
    let nothing = Ok(None);
    let stands_in = warning(
        "the mirror at `trust.tuf_url` has never answered with what can be used; what came with the program, and is as old \
         as it, stands in",
    );
    let (configured, bare) = (options(MIRROR), options(""));
    let known = told(&configured, &nothing, None, now());
    assert_eq!(known.refreshed, Some(false));
    assert_eq!(words(known), stands_in);
    let known = told(&bare, &nothing, None, now());
    assert_eq!(known.refreshed, None);
    assert_eq!(words(known), (true, vec![]));
    // One file is not both.
    let file = format!("{MIRROR}\nsigstore_root = 'root.json'");
    assert_eq!(words(told(&options(&file), &nothing, None, now())), stands_in);
    let files = format!("{file}\nnpm_keys = 'keys.json'");
    assert_eq!(words(told(&options(&files), &nothing, None, now())), (true, vec![]));
}

#[test]
fn what_is_refused_is_said_also_where_files_stand_in() {
    let refused = Err("why".to_owned());
    let files = "sigstore_root = 'root.json'\nnpm_keys = 'keys.json'";
    assert_eq!(
        words(told(&options(files), &refused, None, now())),
        warning("the stored TUF documents are refused, and files stand in for them: why")
    );
    let unavailable = alarm(
        "no attestation can be verified: the stored TUF documents are refused: why; `touchstone trust refresh` or `import` \
         replaces them",
    );
    assert_eq!(words(told(&options(MIRROR), &refused, None, now())), unavailable);
}

#[test]
fn built_in_keys_stand_in_for_a_target_that_is_not_there_and_say_so() {
    let without = Ok(Some(set(false)));
    let stand_in = warning(
        "the TUF repository has no target registry.example/keys.json; the npm keys that came with the program, and are as \
         old as it, stand in: name the target in `trust.npm_keys_target`, or a file in `trust.npm_keys`",
    );
    assert_eq!(words(told(&options(""), &without, None, now())), stand_in);
    assert_eq!(words(told(&options("npm_keys = 'keys.json'"), &without, None, now())), (true, vec![]));
    assert_eq!(words(told(&options(""), &Ok(Some(set(true))), None, now())), (true, vec![]));
}

#[test]
fn nothing_that_is_built_in_counts_for_who_has_a_root_of_their_own() {
    let own = |keys: &str| {
        let mut own = options(keys);
        own.own_pin = true;
        own
    };
    let nothing = |key| TrustUnavailable::Nothing { key };
    let unavailable =
        |options: &TrustOptions, loaded: &Loaded| told(options, loaded, None, now()).unavailable;
    let (root, keys) = ("sigstore_root = 'root.json'", "npm_keys = 'keys.json'");
    for (files, expected) in [
        (String::new(), Some(nothing("tuf_root"))),
        (root.to_owned(), Some(nothing("tuf_root"))),
        (keys.to_owned(), Some(nothing("tuf_root"))),
        (format!("{root}\n{keys}"), None),
    ] {
        assert_eq!(unavailable(&own(&files), &Ok(None)), expected, "{files}");
        assert_eq!(unavailable(&options(&files), &Ok(None)), None, "{files}");
    }
    let no_keys = TrustUnavailable::NoKeys { target: KEYS.to_owned() };
    assert_eq!(unavailable(&own(""), &Ok(Some(set(false)))), Some(no_keys));
    assert_eq!(unavailable(&own(""), &Ok(Some(set(true)))), None);
    assert_eq!(unavailable(&own(keys), &Ok(Some(set(false)))), None);

    // Who has named the target has said where the keys are.
    let named = format!("npm_keys_target = '{KEYS}'");
    assert_eq!(unavailable(&options(&named), &Ok(None)), Some(nothing("npm_keys_target")));
    assert_eq!(unavailable(&options(&format!("{named}\n{keys}")), &Ok(None)), None);
}

#[test]
fn a_clock_that_is_behind_is_an_alarm() {
    let (options, nothing) = (options(""), Ok(None));
    let apart = |seconds| now() - Duration::from_secs(seconds);
    assert_eq!(words(told(&options, &nothing, Some(now()), now())), (true, vec![]));
    assert_eq!(words(told(&options, &nothing, Some(now()), apart(300))), (true, vec![]));
    assert_eq!(words(told(&options, &nothing, Some(now()), hours(9))), (true, vec![]));
    let (usable, concerns) = words(told(&options, &nothing, Some(now()), apart(301)));
    assert!(usable);
    let text = "this machine's clock is behind the database's, which stored TUF documents at 2026-11-22T12:00:00Z: set it \
                right; what expires is judged by the later of both";
    assert_eq!(concerns, [(ConcernLevel::Alarm, text.to_owned())]);
}
