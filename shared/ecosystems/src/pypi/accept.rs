//! Content negotiation for indexes (RFC 9110 section 12.5.1, PEP 691).

use super::protocol;
use crate::IndexForm;

const FORMS: [(IndexForm, &str); 3] = [
    (IndexForm::PypiJson, protocol::JSON),
    (IndexForm::PypiHtmlV1, protocol::HTML_V1),
    (IndexForm::PypiHtml, protocol::HTML),
];
/// Other names of the only version there is.
const ALIASES: [(&str, &str); 2] = [
    ("application/vnd.pypi.simple.latest+json", protocol::JSON),
    ("application/vnd.pypi.simple.latest+html", protocol::HTML_V1),
];
/// How many media ranges are looked at.
const RANGES_MAX: usize = 32;

/// The form that an `Accept` header prefers. Of equally wanted forms a named one is better than one that a wildcard
/// allows, and JSON is better than HTML; `text/html` if nothing named is left.
pub(super) fn form(accept: &str) -> IndexForm {
    let ranges: Vec<Range<'_>> = accept.split(',').take(RANGES_MAX).filter_map(Range::parse).collect();
    let mut best = (Wanted { thousandths: 0, specificity: 0 }, IndexForm::PypiHtml);
    for (form, media_type) in FORMS {
        if let Some(wanted) = wanted(&ranges, media_type).filter(|w| w.thousandths > 0 && *w > best.0) {
            best = (wanted, form);
        }
    }
    // `*/*` prefers nothing: it is what programs send that know only PEP 503
    if best.0.specificity == 0 { IndexForm::PypiHtml } else { best.1 }
}

/// How much a form is wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    thousandths: u32,
    specificity: u8,
}

struct Range<'a> {
    media_type: &'a str,
    wanted: Wanted,
}

impl<'a> Range<'a> {
    /// Reads `type/subtype; q=0.5`; anything that is not of that form asks for nothing.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
        let media_type = parts.next()?;
        let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(media_type));
        let media_type = alias.map_or(media_type, |(_, media_type)| media_type);
        let specificity = match media_type.split_once('/')? {
            ("*", "*") => 0,
            (_, "*") => 1,
            _ => 2,
        };
        let q = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
        let thousandths = q.map_or(Some(1000), thousandths)?;
        Some(Self { media_type, wanted: Wanted { thousandths, specificity } })
    }

    fn matches(&self, media_type: &str) -> bool {
        match self.media_type.strip_suffix("/*") {
            Some("*") => true,
            Some(kind) => media_type.split('/').next().is_some_and(|k| k.eq_ignore_ascii_case(kind)),
            None => self.media_type.eq_ignore_ascii_case(media_type),
        }
    }
}

/// The weight of the most specific range that a media type is in.
fn wanted(ranges: &[Range<'_>], media_type: &str) -> Option<Wanted> {
    ranges
        .iter()
        .filter(|r| r.matches(media_type))
        .map(|r| r.wanted)
        .max_by_key(|w| (w.specificity, w.thousandths))
}

/// A quality value: `0`, `1`, or with up to three decimals.
fn thousandths(q: &str) -> Option<u32> {
    let (whole, decimals) = q.split_once('.').unwrap_or((q, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: u32 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_that_accept_prefers() {
        use IndexForm::{PypiHtml, PypiHtmlV1, PypiJson};
        let json = protocol::JSON;
        let v1 = protocol::HTML_V1;
        for (accept, expected) in [
            ("", PypiHtml),
            ("*/*", PypiHtml),
            ("application/json", PypiHtml),
            ("text/*", PypiHtml),
            (json, PypiJson),
            (&json.to_uppercase(), PypiJson),
            ("application/*", PypiJson),
            ("application/vnd.pypi.simple.latest+json", PypiJson),
            ("application/vnd.pypi.simple.latest+html, text/html;q=0.5", PypiHtmlV1),
            // pip and uv
            (&format!("{json}, {v1}; q=0.1, text/html; q=0.01"), PypiJson),
            (&format!("{json}, {v1};q=0.2, text/html;q=0.01"), PypiJson),
            // a browser
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", PypiHtml),
            (&format!("text/html;q=0.5, {v1};q=0.6"), PypiHtmlV1),
            (&format!("text/html, {json}"), PypiJson),
            (&format!("{json};q=0"), PypiHtml),
            (&format!("{json};q=0, application/*"), PypiHtmlV1),
            (&format!("{json};q=0.5, */*"), PypiHtml),
            (&format!("{json};q=2, {v1};q=0.1"), PypiHtmlV1),
            (&format!("{json};q=0.1234, {v1};q=0.1"), PypiHtmlV1),
            (&format!("{json};q=+.5, {v1};q=0.1"), PypiHtmlV1),
            (&format!("{json};q=, {v1};q=0.1"), PypiHtmlV1),
            (&format!("{json};q=1.000, {v1}"), PypiJson),
            (",,;;q=,/", PypiHtml),
        ] {
            assert_eq!(form(accept), expected, "{accept}");
        }
    }
}
