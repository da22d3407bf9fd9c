use touchstone_domain::{FileName, Version};

use super::*;

fn id(package: &str, version: &str, file: &str) -> ArtifactId {
    ArtifactId {
        ecosystem: Ecosystem::Pypi,
        package: PackageName::new(package).unwrap(),
        version: Version::new(version).unwrap(),
        file: FileName::new(file).unwrap(),
    }
}

fn at() -> Timestamp {
    "2026-03-04T05:06:07.000008Z".parse().unwrap()
}

fn ended(id: &ArtifactId, epoch: i32) -> LogEntry {
    LogEntry::Ended {
        purl: artifact_purl(id).to_string(),
        sha256: Sha256::of("bytes"),
        epoch,
        state: "rejected".to_owned(),
        cause: "verdict".to_owned(),
        at: at(),
    }
}

fn recall(purl: Option<&str>, sha256: Option<Sha256>) -> LogEntry {
    let (reason, actor) = ("stolen token".to_owned(), "ada".to_owned());
    LogEntry::Recalled { purl: purl.map(str::to_owned), sha256, reason, actor, at: at() }
}

fn refusal(text: &str) -> String {
    LogEntry::parse(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn an_entry_is_one_line_that_reads_back() {
    let entry = ended(&id("requests", "2.0", "requests-2.0.tar.gz"), 3);
    let bytes = entry.to_bytes();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let purl = "pkg:pypi/requests@2.0?file_name=requests-2.0.tar.gz";
    let digest = Sha256::of("bytes");
    assert_eq!(
        text,
        format!(
            r#"{{"event":"ended","purl":"{purl}","sha256":"{digest}","epoch":3,"state":"rejected","cause":"verdict","at":"2026-03-04T05:06:07.000008Z"}}"#
        )
    );
    assert_eq!(LogEntry::parse(&bytes), Ok(entry));

    let expected = "entry of the statement is refused: it is spelled in another way than entries are";
    assert_eq!(refusal(&text.replace("\"epoch\":3", "\"epoch\": 3")), expected);
    assert_eq!(refusal(&format!("{text}\n")), expected);
    assert!(refusal(&text.replace("\"epoch\":3", "\"epoch\":3,\"more\":1")).contains("unknown field `more`"));
    assert!(refusal(&text.replace("\"epoch\":3", "\"epoch\":3,\"epoch\":3")).contains("duplicate field"));
    assert!(refusal(&text.replace("\"ended\"", "\"begun\"")).contains("unknown variant `begun`"));
    assert_eq!(
        refusal(&text.replace("\"epoch\":3", "\"epoch\":-3")),
        "epoch of the statement is refused: -3 is negative"
    );
    assert_eq!(
        refusal(&text.replace("?file_name=requests-2.0.tar.gz", "")),
        "purl of the statement is refused: it names no file of a version"
    );
    assert_eq!(
        refusal(&text.replace("file_name=requests", "file_name=%72equests")),
        format!("purl of the statement is refused: it is spelled {purl}")
    );
}

#[test]
fn a_recall_names_one_thing() {
    for entry in [recall(Some("pkg:pypi/requests"), None), recall(None, Some(Sha256::of("bytes")))] {
        assert_eq!(LogEntry::parse(&entry.to_bytes()), Ok(entry));
    }
    let expected = "purl of the statement is refused: a recall names either a purl or a digest";
    for entry in [recall(Some("pkg:pypi/requests"), Some(Sha256::of("bytes"))), recall(None, None)] {
        assert_eq!(LogEntry::parse(&entry.to_bytes()).expect_err("two").to_string(), expected);
    }
}

#[test]
fn an_entry_is_never_longer_than_it_may_be() {
    let (size, at) = (7, at());
    let long = LogEntry::Recovered { size, reason: "\u{1}".repeat(LOG_ENTRY_BYTES_MAX), at };
    let read = LogEntry::parse(&long.to_bytes()).expect("an entry");
    assert_eq!(read, LogEntry::Recovered { size, reason: "\u{1}".repeat(512), at });

    let fits = LogEntry::Recovered { size, reason: "x".repeat(LOG_ENTRY_BYTES_MAX - 100), at };
    assert_eq!(LogEntry::parse(&fits.to_bytes()), Ok(fits));

    let beyond = vec![b' '; LOG_ENTRY_BYTES_MAX + 1];
    let refused = LogEntry::parse(&beyond).expect_err("too long").to_string();
    assert_eq!(refused, "entry of the statement is refused: it has 16385 bytes");
}

#[test]
fn recalls_name_by_prefix_or_by_digest() {
    let served = id("requests", "2.0", "requests-2.0.tar.gz");
    let digest = Sha256::of("bytes");
    let verdict = |entry: LogEntry| {
        let mut revocations = Revocations::default();
        revocations.add(&entry);
        revocations.check_epoch(&served, digest, 1)
    };
    let recalled = Err(Revocation::Recalled { reason: "stolen token".to_owned() });
    let file = artifact_purl(&served).to_string();
    for purl in ["pkg:pypi/requests", "pkg:pypi/requests@2.0", &file] {
        assert_eq!(verdict(recall(Some(purl), None)), recalled, "{purl}");
    }
    assert_eq!(verdict(recall(None, Some(digest))), recalled);
    let other_file = file.replace("tar.gz", "whl");
    for purl in ["pkg:pypi/request", "pkg:pypi/requests@2.0.1", "pkg:npm/requests", &other_file] {
        assert_eq!(verdict(recall(Some(purl), None)), Ok(()), "{purl}");
    }
    assert_eq!(verdict(recall(None, Some(Sha256::of("others")))), Ok(()));
}

#[test]
fn what_ended_is_only_permitted_in_a_later_epoch() {
    let served = id("requests", "2.0", "requests-2.0.tar.gz");
    let digest = Sha256::of("bytes");
    let mut revocations = Revocations::default();
    revocations.add(&ended(&served, 3));
    revocations.add(&ended(&served, 2));
    let refused = Err(Revocation::Ended { epoch: 3, state: "rejected".to_owned() });
    assert_eq!(revocations.check_epoch(&served, digest, 2), refused);
    assert_eq!(revocations.check_epoch(&served, digest, 3), refused);
    assert_eq!(revocations.check_epoch(&served, digest, 4), Ok(()));
    let other = id("requests", "2.0", "requests-2.0.whl");
    assert_eq!(revocations.check_epoch(&other, digest, 1), Ok(()));
}

#[test]
fn an_event_of_a_newer_version_is_told_from_a_known_one_that_is_malformed() {
    let read = |text: &str| LogEntry::read(text.as_bytes());
    let known = ended(&id("requests", "2.0", "requests-2.0.tar.gz"), 3);
    let text = String::from_utf8(known.to_bytes()).unwrap();
    assert_eq!(read(&text), Ok(Some(known)));
    for newer in [
        text.replace("\"ended\"", "\"begun\""),
        r#"{"event":"begun"}"#.to_owned(),
        r#"{"more":{"a":[1]},"event":"Ended"}"#.to_owned(),
    ] {
        assert_eq!(read(&newer), Ok(None), "{newer}");
    }
    for malformed in [
        text.replace("\"epoch\":3", "\"epoch\":-3"),
        text.replace("\"epoch\":3", "\"epoch\":3,\"more\":1"),
        format!("{text}\n"),
        r#"{"event":"ended"}"#.to_owned(),
        r#"{"event":"begun","event":"ended"}"#.to_owned(),
        r#"{"event":7}"#.to_owned(),
        r#"{"begun":"event"}"#.to_owned(),
        r#"["begun"]"#.to_owned(),
        r#"{"event":"begun"} {}"#.to_owned(),
        r#"{"event":"begun""#.to_owned(),
        String::new(),
        format!(r#"{{"event":"begun","more":"{}"}}"#, "x".repeat(LOG_ENTRY_BYTES_MAX)),
    ] {
        assert_eq!(read(&malformed), Err(LogEntry::parse(malformed.as_bytes()).unwrap_err()), "{malformed}");
    }
}

#[test]
fn every_event_is_known_by_its_word() {
    for event in EVENTS {
        let refused = refusal(&format!(r#"{{"event":"{event}"}}"#));
        assert!(refused.contains("missing field"), "{refused}");
    }
    let words = refusal(r#"{"event":"begun"}"#);
    let expected = EVENTS.map(|event| format!("`{event}`")).join(", ");
    assert!(words.contains(&format!("expected one of {expected} at")), "{words}");
}
