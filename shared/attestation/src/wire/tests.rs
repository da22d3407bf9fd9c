//! What may stand for an object of a bundle. What a whole bundle must be, the suite shows on minted ones.

use super::*;

const ENVELOPE: &str = r#"{"mediaType":"application/vnd.dev.sigstore.bundle+json;version=0.1",
 "verificationMaterial":{"x509CertificateChain":{"certificates":[{"rawBytes":"YQ=="}]},"tlogEntries":[{"logIndex":"1",
  "logId":{"keyId":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"kindVersion":{"kind":"dsse","version":"0.0.1"},
  "inclusionPromise":{"signedEntryTimestamp":"YQ=="},"canonicalizedBody":"e30="}],
  "timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"YQ=="}]}},
 "dsseEnvelope":{"payloadType":"t","payload":"e30=","signatures":[{"sig":"YQ==","keyid":""}]}}"#;
const MESSAGE: &str = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
 "verificationMaterial":{"publicKey":{"hint":"k"}},
 "messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"YQ=="},"signature":"YQ=="}}"#;

/// A derived reader takes the values of an object's fields, in their order, for the object.
#[test]
fn no_object_is_read_from_an_array_of_its_fields() {
    let mut changed = 0;
    for bundle in [ENVELOPE, MESSAGE] {
        assert!(parse(bundle.as_bytes()).is_ok());
        for (object, array) in [
            (r#"{"certificates":[{"rawBytes":"YQ=="}]}"#, r#"[[{"rawBytes":"YQ=="}]]"#),
            (r#"{"rawBytes":"YQ=="}"#, r#"["YQ=="]"#),
            (
                r#"{"keyId":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#,
                r#"["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]"#,
            ),
            (r#"{"kind":"dsse","version":"0.0.1"}"#, r#"["dsse","0.0.1"]"#),
            (r#"{"signedEntryTimestamp":"YQ=="}"#, r#"["YQ=="]"#),
            (r#"{"rfc3161Timestamps":[{"signedTimestamp":"YQ=="}]}"#, r#"[[{"signedTimestamp":"YQ=="}]]"#),
            (r#"{"signedTimestamp":"YQ=="}"#, r#"["YQ=="]"#),
            (r#"{"sig":"YQ==","keyid":""}"#, r#"["YQ==",""]"#),
            (
                r#"{"payloadType":"t","payload":"e30=","signatures":[{"sig":"YQ==","keyid":""}]}"#,
                r#"["t","e30=",[{"sig":"YQ==","keyid":""}]]"#,
            ),
            (r#"{"hint":"k"}"#, r#"["k"]"#),
            (r#"{"publicKey":{"hint":"k"}}"#, r#"[null,null,{"hint":"k"},null,null]"#),
            (r#"{"algorithm":"SHA2_256","digest":"YQ=="}"#, r#"["SHA2_256","YQ=="]"#),
            (
                r#"{"messageDigest":{"algorithm":"SHA2_256","digest":"YQ=="},"signature":"YQ=="}"#,
                r#"[{"algorithm":"SHA2_256","digest":"YQ=="},"YQ=="]"#,
            ),
        ] {
            if bundle.contains(object) {
                let refused = parse(bundle.replacen(object, array, 1).as_bytes()).expect_err(array);
                assert_eq!(refused.problem, Problem::Malformed, "{array}");
                let because = "the bundle: invalid type: sequence, expected an object";
                assert!(refused.detail.starts_with(because), "{array}: {}", refused.detail);
                changed += 1;
            }
        }
    }
    assert_eq!(changed, 13, "each is somewhere");
    assert!(parse(b"[null,null,null,null]").is_err());
}
