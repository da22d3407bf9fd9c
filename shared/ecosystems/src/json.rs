//! Reading JSON in place, so that what is passed on is passed on byte for byte.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Range};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use crate::IndexError;

/// Nesting beyond this is no metadata.
const DEPTH_MAX: usize = 128;

/// Where a borrowed value stands in the document that it was parsed from; `None` if it is not part of it.
pub(crate) fn span(document: &[u8], part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(document.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= document.len()).then_some(start..end)
}

/// The bytes of a borrowed value, sharing the document's allocation.
pub(crate) fn slice(document: &Bytes, value: &RawValue) -> Option<Bytes> {
    span(document, value.get()).map(|range| document.slice(range))
}

/// One member of an object, by its place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// The key, unescaped.
    pub(crate) key: Cow<'a, str>,
    /// From the quote before the key to the end of the value.
    pub(crate) whole: Range<usize>,
    /// The value.
    pub(crate) value: Range<usize>,
}

/// The members of the object that fills `object`, in order, repeated keys included.
pub(crate) fn members(document: &[u8], object: Range<usize>) -> Result<Vec<Member<'_>>, serde_json::Error> {
    let text = &document[object.clone()];
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let raw = deserializer.deserialize_map(Members)?;
    deserializer.end()?;
    let mut end = 0;
    let members = raw.into_iter().map(|(Key(key), value)| {
        let value = span(text, value.get()).expect("a raw value borrows from the text");
        let gap = &text[end..value.start];
        let quote = gap.iter().position(|b| *b == b'"').expect("a key stands before each value");
        let start = end + quote;
        end = value.end;
        let offset = object.start;
        Member {
            key,
            whole: offset + start..offset + value.end,
            value: offset + value.start..offset + value.end,
        }
    });
    Ok(members.collect())
}

/// The parts to cut out of an object's text, commas included, so that only the members that `keep` accepts by their
/// number stay; `wholes` are the members' places, in order.
pub(crate) fn cuts<'a>(
    wholes: impl Iterator<Item = &'a Range<usize>>,
    mut keep: impl FnMut(usize) -> bool,
) -> Vec<Range<usize>> {
    let mut cuts: Vec<Range<usize>> = vec![];
    let (mut kept_end, mut open, mut end) = (None, None, 0);
    for (i, whole) in wholes.enumerate() {
        if keep(i) {
            cuts.extend(open.take().map(|start| start..whole.start));
            kept_end = Some(whole.end);
        } else {
            open.get_or_insert(whole.start);
        }
        end = whole.end;
    }
    cuts.extend(open.map(|start| kept_end.unwrap_or(start)..end));
    cuts
}

/// Parses a small value in place.
pub(crate) fn value<'a, T: Deserialize<'a>>(
    document: &'a [u8],
    at: &Range<usize>,
) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&document[at.clone()])
}

/// Refuses what is not UTF-8, since parts that are passed on unread are looked at nowhere else, and what is nested too
/// deeply.
pub(crate) fn check(document: &[u8]) -> Result<(), IndexError> {
    if let Err(e) = str::from_utf8(document) {
        return Err(IndexError::Malformed { problem: e.to_string() });
    }
    if is_shallow(document) {
        Ok(())
    } else {
        Err(IndexError::Limit { problem: format!("it is nested deeper than {DEPTH_MAX}") })
    }
}

/// Whether nesting stays within what any reader can take; strings are skipped, nothing else is checked.
pub(crate) fn is_shallow(document: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in document {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

/// What is read from a JSON object. A derived reader alone would also take an array of the fields in their order, which no
/// other reader takes for the same.
#[derive(Debug, Default)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Key<'de>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = vec![];
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str, keep: &[&str]) -> String {
        let members = members(text.as_bytes(), 0..text.len()).expect(text);
        let mut left = text.to_owned();
        for cut in
            cuts(members.iter().map(|m| &m.whole), |i| keep.contains(&&*members[i].key)).into_iter().rev()
        {
            left.replace_range(cut, "");
        }
        left
    }

    #[test]
    fn members_know_their_places() {
        let text = r#"[{ "a" : [1, "x"] ,"b\u0063":{"d":null}, "a":2 }]"#;
        let found = members(text.as_bytes(), 1..text.len() - 1).expect("an object");
        let of = |member: &Member<'_>| {
            (member.key.to_string(), &text[member.whole.clone()], &text[member.value.clone()])
        };
        assert_eq!(of(&found[0]), ("a".into(), r#""a" : [1, "x"]"#, r#"[1, "x"]"#));
        assert_eq!(of(&found[1]), ("bc".into(), r#""b\u0063":{"d":null}"#, r#"{"d":null}"#));
        assert_eq!(of(&found[2]), ("a".into(), r#""a":2"#, "2"));
    }

    #[test]
    fn cutting_members_leaves_an_object() {
        let text = r#"{ "a":1, "b":2 , "c":3 }"#;
        for (keep, left) in [
            (&["a", "b", "c"][..], text),
            (&["a", "c"], r#"{ "a":1, "c":3 }"#),
            (&["b"], r#"{ "b":2 }"#),
            (&["a"], r#"{ "a":1 }"#),
            (&["c"], r#"{ "c":3 }"#),
            (&[], "{  }"),
        ] {
            assert_eq!(kept(text, keep), left);
        }
        assert_eq!(kept("{}", &["a"]), "{}");
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in
            ["[]", "1", "{\"a\":1,}", "{\"a\":NaN}", "\u{feff}{}", "{} {}", "{\"a\":1", "", "{\"a\":01}"]
        {
            assert!(members(text.as_bytes(), 0..text.len()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_object_is_not_read_from_an_array() {
        #[derive(Debug, Deserialize)]
        struct Two {
            a: u8,
            b: Option<u8>,
        }
        let read = |text| serde_json::from_str::<Object<Two>>(text).map(|Object(two)| (two.a, two.b));
        assert_eq!(read(r#"{"a":1,"b":2}"#).ok(), Some((1, Some(2))));
        assert_eq!(read(r#"{"a":1,"c":2}"#).ok(), Some((1, None)));
        let problem = read("[1,2]").expect_err("an array").to_string();
        assert!(problem.starts_with("invalid type: sequence, expected an object"), "{problem}");
        assert!(serde_json::from_str::<Two>("[1,2]").is_ok(), "serde no longer takes arrays, so this can go");
    }

    #[test]
    fn depth_is_bounded_outside_strings_only() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(check(nested(DEPTH_MAX).as_bytes()), Ok(()));
        let problem = "it is nested deeper than 128".to_owned();
        assert_eq!(check(nested(DEPTH_MAX + 1).as_bytes()), Err(IndexError::Limit { problem }));
        assert_eq!(check(format!("{{\"a\\\"\":\"{}\"}}", nested(1000)).as_bytes()), Ok(()));
        let problem = "invalid utf-8 sequence of 1 bytes from index 2".to_owned();
        assert_eq!(check(b"{\"\xff\":1}"), Err(IndexError::Malformed { problem }));
    }
}
