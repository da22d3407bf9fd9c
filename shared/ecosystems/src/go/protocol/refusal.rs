//! Refusals as the go command prints them: whole, or not at all.

use touchstone_domain::Refusal;

/// The go command prints eight lines and this many bytes of them.
const BODY_BYTES_MAX: usize = 648;
/// What the reference may have of it.
const REFERENCE_BYTES_MAX: usize = 320;
const CUT: &str = "...";

/// Two lines of plain text: why, and what to look it up by.
pub(in crate::go) fn refusal_body(refusal: &Refusal, reference: &str) -> (&'static str, String) {
    let Refusal { kind, title, detail } = refusal;
    let reference = shortened(&printable(reference), REFERENCE_BYTES_MAX);
    let last = format!("\nreference: {reference} ({})\n", kind.code());
    let first = shortened(&printable(&format!("{title}: {detail}")), BODY_BYTES_MAX - last.len());
    ("text/plain; charset=utf-8", first + &last)
}

/// On one line, and without characters that make the go command drop the whole text.
fn printable(text: &str) -> String {
    let printed = |c: char| match c {
        ' '..='~' => c,
        _ if c.is_alphanumeric() => c,
        _ if c.is_whitespace() => ' ',
        _ => '?',
    };
    text.trim().chars().map(printed).collect()
}

fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}{CUT}", &text[..text.floor_char_boundary(bytes_max - CUT.len())])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use touchstone_domain::RefusalKind;

    use super::*;

    fn body(kind: RefusalKind, detail: &str, reference: &str) -> String {
        let (content_type, body) = refusal_body(&Refusal::new(kind, "Recalled", detail), reference);
        assert_eq!(content_type, "text/plain; charset=utf-8");
        body
    }

    #[test]
    fn a_short_refusal_is_told_whole() {
        assert_eq!(
            body(
                RefusalKind::Revoked,
                "it was bad.\nAsk the operators.\n",
                "pkg:golang/example.com/a@v1.0.0"
            ),
            "Recalled: it was bad. Ask the operators.\nreference: pkg:golang/example.com/a@v1.0.0 (revoked)\n"
        );
        let odd = "caf\u{e9}\u{202e}\u{200b}\t\u{0}\u{7f}x";
        assert_eq!(body(RefusalKind::Denied, odd, "a"), "Recalled: caf\u{e9}?? ??x\nreference: a (denied)\n");
    }

    #[test]
    fn a_long_detail_is_cut_before_the_reference() {
        let end = "\nreference: pkg:golang/example.com/a@v1.0.0 (rejected)\n";
        let fits = "x".repeat(BODY_BYTES_MAX - end.len() - "Recalled: ".len());
        let whole = body(RefusalKind::Rejected, &fits, "pkg:golang/example.com/a@v1.0.0");
        assert_eq!((whole.len(), whole), (BODY_BYTES_MAX, format!("Recalled: {fits}{end}")));
        let cut = body(RefusalKind::Rejected, &format!("{fits}x"), "pkg:golang/example.com/a@v1.0.0");
        assert_eq!(cut, format!("Recalled: {}{CUT}{end}", &fits[CUT.len()..]));
        let accents = body(RefusalKind::Rejected, &"\u{e9}".repeat(600), "a");
        assert!(accents.len() >= BODY_BYTES_MAX - 1 && accents.ends_with("...\nreference: a (rejected)\n"));
    }

    #[test]
    fn the_code_stands_behind_the_longest_reference() {
        let end = format!("\nreference: {}... (upstream_unreachable)\n", "r".repeat(REFERENCE_BYTES_MAX - 3));
        let body = body(RefusalKind::UpstreamUnreachable, &"d".repeat(5000), &"r".repeat(5000));
        assert_eq!(body.len(), BODY_BYTES_MAX);
        assert!(body.ends_with(&end), "{body}");
    }

    proptest! {
        #[test]
        fn the_go_command_prints_every_body(title in ".{0,120}", detail in "(?s).{0,900}", reference in "(?s).{0,900}") {
            let refusal = Refusal::new(RefusalKind::Rejected, &title, detail);
            let body = refusal_body(&refusal, &reference).1;
            prop_assert!(body.len() <= BODY_BYTES_MAX && body.lines().count() == 2, "{}", body);
            prop_assert!(body.ends_with(" (rejected)\n"), "{}", body);
        }
    }
}
