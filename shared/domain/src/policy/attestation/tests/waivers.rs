use super::*;

#[test]
fn a_waiver_helps_its_bytes_until_it_expires() {
    let [bytes, other] = [Sha256::of("bytes"), Sha256::of("other")];
    let policy = parse(&format!(
        "[[waiver]]\nsha256 = \"{bytes}\"\nreason = \"gone by mistake\"\nexpires = \"2027-01-31\"\n\
         [[waiver]]\nsha256 = \"{other}\"\nreason = \"r\"\nexpires = \"2027-01-31T12:00:00+02:00\"\n"
    ));
    let expires = time("2027-01-31T00:00:00Z");
    let waiver = Waiver { sha256: bytes, reason: "gone by mistake".into(), expires };
    let before = time("2027-01-30T23:59:59.999999999Z");
    assert_eq!(policy.waiver(bytes, before), Some(&waiver));
    assert_eq!(policy.waiver(bytes, expires), None);
    assert_eq!(policy.waiver(Sha256::of("third"), before), None);
    assert_eq!(policy.waiver(other, time("2027-01-31T09:59:59Z")).map(|w| w.reason.as_str()), Some("r"));
    assert_eq!(policy.waiver(other, time("2027-01-31T10:00:00Z")), None);

    let past = |now| policy.expired_waivers(now).map(|waiver| waiver.sha256).collect::<Vec<_>>();
    assert_eq!(past(before), []);
    assert_eq!(past(expires), [bytes]);
    assert_eq!(past(time("2028-01-01T00:00:00Z")), [bytes, other]);
    assert_eq!(policy.exceptions(), (0, 2));

    let again = parse(&format!(
        "[[waiver]]\nsha256 = \"{bytes}\"\nreason = \"old\"\nexpires = \"2026-01-01\"\n\
         [[waiver]]\nsha256 = \"{bytes}\"\nreason = \"new\"\nexpires = \"2027-01-01\"\n"
    ));
    let found = again.waiver(bytes, time("2026-06-01T00:00:00Z")).map(|waiver| waiver.reason.as_str());
    assert_eq!(found, Some("new"), "an expired one does not hide one that was renewed");
}

#[test]
fn a_waiver_without_bytes_reason_or_end_is_refused() {
    let digest = Sha256::of("bytes");
    for (sha256, reason, expires, expected) in [
        ("ABC", "r", "2027-01-31", "sha256: "),
        (&*digest.to_string(), " ", "2027-01-31", "`reason` is empty"),
        (&digest.to_string(), "r", "", "neither a date"),
        (&digest.to_string(), "r", "never", "neither a date"),
        (&digest.to_string(), "r", "2027-02-31", "neither a date"),
        (&digest.to_string(), "r", "2027-01-31T12:00:00", "neither a date"),
    ] {
        let found = problem(&format!(
            "[[waiver]]\nsha256 = \"{sha256}\"\nreason = \"{reason}\"\nexpires = \"{expires}\"\n"
        ));
        assert!(found.contains(expected), "{expires}: {found}");
    }
    for missing in ["sha256", "reason", "expires"] {
        let all = [("sha256", digest.to_string()), ("reason", "r".into()), ("expires", "2027-01-31".into())];
        let lines: Vec<String> = all
            .iter()
            .filter(|(key, _)| *key != missing)
            .map(|(key, value)| format!("{key} = \"{value}\""))
            .collect();
        let document = format!("[[waiver]]\n{}\n", lines.join("\n"));
        assert!(matches!(Policy::parse(&document), Err(PolicyError::Syntax(_))), "{document}");
    }
}
