//! JSON by the places of its parts, read by nobody else's rules: what is no JSON has parts too.

use std::{collections::HashSet, ops::Range};

/// A value, and the member or element that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The value.
    pub value: Range<usize>,
    /// The key with its quotes, in an object.
    pub key: Option<Range<usize>>,
    /// Where the array or object that it is in starts; `None` outside.
    pub parent: Option<usize>,
}

impl Part {
    /// From the key, if it has one, to the end of the value.
    pub fn whole(&self) -> Range<usize> {
        self.key.as_ref().unwrap_or(&self.value).start..self.value.end
    }
}

/// Every value of a document, in the order of their ends.
pub fn parts(text: &[u8]) -> Vec<Part> {
    let (mut parts, mut open, mut key, mut at) = (vec![], vec![], None, 0);
    while at < text.len() {
        let start = at;
        at += 1;
        match text[start] {
            b'{' | b'[' => {
                open.push((start, key.take()));
                continue;
            }
            b'}' | b']' => {
                let Some((start, key)) = open.pop() else { continue };
                parts.push(Part { value: start..at, key, parent: open.last().map(|o| o.0) });
                continue;
            }
            b'"' => {
                while at < text.len() && text[at] != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                at = text.len().min(at + 1);
                let next = text[at..].iter().find(|b| !b.is_ascii_whitespace());
                if next == Some(&b':') {
                    key = Some(start..at);
                    continue;
                }
            }
            byte if is_word(byte) => {
                while at < text.len() && is_word(text[at]) {
                    at += 1;
                }
            }
            _ => continue,
        }
        parts.push(Part { value: start..at, key: key.take(), parent: open.last().map(|o| o.0) });
    }
    parts
}

/// Whether an object, at any depth, has a key twice, however it is escaped.
pub fn has_duplicate_key(text: &[u8]) -> bool {
    let mut seen = HashSet::new();
    parts(text).into_iter().any(|part| {
        let key = part.key.and_then(|key| serde_json::from_slice::<String>(&text[key]).ok());
        key.is_some_and(|key| !seen.insert((part.parent, key)))
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_twice_is_found_at_any_depth_and_in_any_spelling() {
        for twice in
            [r#"{"a":1,"a":2}"#, r#"[{"a":{"b":[],"\u0062":"x"}}]"#, r#"{"a":{"a":1},"b":[{}],"a":2}"#]
        {
            assert!(has_duplicate_key(twice.as_bytes()), "{twice}");
        }
        for once in [r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#, r#"{"a":"\"a\":1,\"a\":2"}"#, "", "}", "\"\\"]
        {
            assert!(!has_duplicate_key(once.as_bytes()), "{once}");
        }
    }

    #[test]
    fn parts_know_their_places() {
        let text = r#"{ "a" : [1.5e3, "x"], "b":{"c":null} }"#;
        let wholes: Vec<&str> = parts(text.as_bytes()).iter().map(|part| &text[part.whole()]).collect();
        assert_eq!(
            wholes,
            ["1.5e3", "\"x\"", r#""a" : [1.5e3, "x"]"#, "\"c\":null", r#""b":{"c":null}"#, text]
        );
    }
}
