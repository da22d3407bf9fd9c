//! What the documents about attestations have in common: bounds, and JSON that means one thing to every reader.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};

use crate::{
    index::shortened,
    json::{self, Object},
};

/// The largest document, in bytes.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest text of a field that is read, in bytes.
const TEXT_BYTES_MAX: usize = 2048;

/// Why a document is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Over a bound.
    #[error("the document is over a limit: {problem}")]
    Limit {
        /// Which.
        problem: String,
    },
    /// An object has a key twice, so that two readers could read two things.
    #[error("the document has the key {key:?} twice in one object")]
    DuplicateKey {
        /// The key, shortened.
        key: String,
    },
    /// Not of the format.
    #[error("the document is malformed: {problem}")]
    Malformed {
        /// What is wrong, and where; shortened.
        problem: String,
    },
}

impl DocumentError {
    pub(crate) fn malformed(problem: impl AsRef<str>) -> Self {
        Self::Malformed { problem: shortened(problem.as_ref()) }
    }

    pub(crate) fn limit(problem: impl Into<String>) -> Self {
        Self::Limit { problem: problem.into() }
    }
}

/// Reads a whole document: an object, in which no object has a key twice, at any depth. Keys that `T` does not know are
/// ignored, since registries add some.
pub(crate) fn read<'a, T: Deserialize<'a>>(document: &'a [u8]) -> Result<T, DocumentError> {
    check_size(document)?;
    let text = std::str::from_utf8(document).map_err(|e| DocumentError::malformed(e.to_string()))?;
    if !json::is_shallow(document) {
        return Err(DocumentError::limit("it is nested too deeply"));
    }
    check_keys(text)?;
    let read = serde_json::from_str::<Object<T>>(text);
    read.map(|object| object.0).map_err(|e| DocumentError::malformed(e.to_string()))
}

/// Whether a document that is passed through may be: a JSON object within the bounds, without a key that comes twice. What it
/// says is for clients to judge.
pub fn check_document(document: &[u8]) -> Result<(), DocumentError> {
    read::<serde::de::IgnoredAny>(document).map(|_| ())
}

/// Refuses a document over the limit, before anything is read of it.
pub(crate) fn check_size(document: &[u8]) -> Result<(), DocumentError> {
    if document.len() <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    Err(DocumentError::limit(format!("{} bytes, of {DOCUMENT_BYTES_MAX} at most", document.len())))
}

/// Refuses a list that is too long.
pub(crate) fn check_count(what: &str, count: usize, count_max: usize) -> Result<(), DocumentError> {
    if count <= count_max {
        return Ok(());
    }
    Err(DocumentError::limit(format!("{count} {what}, of {count_max} at most")))
}

/// Refuses a text that is too long.
pub(crate) fn check_text(what: &str, text: &str) -> Result<(), DocumentError> {
    check_count(&format!("bytes in {what}"), text.len(), TEXT_BYTES_MAX)
}

fn check_keys(text: &str) -> Result<(), DocumentError> {
    let mut twice = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_any(Unique { twice: &mut twice }).and_then(|()| deserializer.end());
    match (read, twice) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(key)) => Err(DocumentError::DuplicateKey { key }),
        (Err(error), None) => Err(DocumentError::malformed(error.to_string())),
    }
}

/// Reads any value and keeps nothing of it but the first key that comes twice.
struct Unique<'t> {
    twice: &'t mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Unique { twice: self.twice })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                *self.twice = Some(shortened(&key));
                return Err(A::Error::custom("a key comes twice"));
            }
            keys.insert(key);
            map.next_value_seed(Unique { twice: self.twice })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Option<DocumentError> {
        read::<serde::de::IgnoredAny>(text.as_bytes()).err()
    }

    #[test]
    fn a_key_may_come_once_in_each_object() {
        assert_eq!(problem(r#"{"a":[{"a":1.5},{"a":-1}],"b":{"a":null,"c":true}}"#), None);
        for (text, key) in
            [(r#"{"a":1,"a":1}"#, "a"), (r#"[{"x":{"b":1,"\u0062":2}}]"#, "b"), (r#"{"":1,"":2}"#, "")]
        {
            assert_eq!(problem(text), Some(DocumentError::DuplicateKey { key: key.into() }), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["", "{", "{}{}", "<html>", "{\"a\":NaN}", "{\"a\":1e999}", "\u{feff}{}", "[1,]"] {
            assert!(matches!(problem(text), Some(DocumentError::Malformed { .. })), "{text}");
        }
        let invalid = read::<serde::de::IgnoredAny>(b"\"\xff\"").err();
        let problem = "invalid utf-8 sequence of 1 bytes from index 1".to_owned();
        assert_eq!(invalid, Some(DocumentError::Malformed { problem }));
    }

    #[test]
    fn a_document_to_be_passed_through_is_an_object() {
        assert_eq!(check_document(b" {\"attestations\":[]}\n"), Ok(()));
        for (other, what) in
            [("[]", "sequence"), ("1", "integer `1`"), ("\"{}\"", "string \"{}\""), ("null", "null")]
        {
            let Err(DocumentError::Malformed { problem }) = check_document(other.as_bytes()) else {
                panic!("{other}");
            };
            assert!(problem.starts_with(&format!("invalid type: {what}, expected an object")), "{problem}");
        }
        let twice = check_document(br#"{"keys":[],"keys":[]}"#);
        assert_eq!(twice, Err(DocumentError::DuplicateKey { key: "keys".into() }));
    }

    #[test]
    fn size_and_depth_are_bounded_before_anything_is_read() {
        let mut fits = " ".repeat(DOCUMENT_BYTES_MAX - 2);
        fits.push_str("{}");
        assert_eq!(problem(&fits), None);
        fits.push(' ');
        let limit = |problem: &str| Some(DocumentError::Limit { problem: problem.to_owned() });
        assert_eq!(problem(&fits), limit("4194305 bytes, of 4194304 at most"));
        let nested = "[".repeat(200_000);
        assert_eq!(problem(&nested), limit("it is nested too deeply"));
    }
}
