//! JSON with one reading only.

use std::{borrow::Cow, cell::Cell, collections::HashSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::refused::{Problem, Refused};

/// Integers beyond this lose digits as a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// Objects with more keys than this look their keys up by hash.
const KEYS_COMPARED: usize = 24;

/// What a document may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Its length in bytes.
    pub bytes: usize,
    /// How deep arrays and objects nest.
    pub depth: usize,
    /// How many values it has, keys not counted.
    pub values: usize,
}

impl JsonLimits {
    /// The bounds of a bundle: 1 MiB, 64 levels, 65,536 values.
    pub const BUNDLE: Self = Self { bytes: 1024 * 1024, depth: 64, values: 65_536 };
}

/// Refuses what two parsers might read differently: a key twice in an object at any depth, numbers that lose digits, bytes
/// after the end; and what exceeds the limits. Follows RFC 8259 and I-JSON (RFC 7493) section 2.
pub fn strict_json(bytes: &[u8], limits: JsonLimits) -> Result<(), Refused> {
    strict_text(bytes, limits).map(|_text| ())
}

/// The same, and the document as text.
pub(crate) fn strict_text(bytes: &[u8], limits: JsonLimits) -> Result<&str, Refused> {
    if bytes.len() > limits.bytes {
        let detail = format!("{} bytes, and at most {} are read", bytes.len(), limits.bytes);
        return Err(Refused::new(Problem::Limit, detail));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| Refused::new(Problem::Malformed, e.to_string()))?;
    let seen = Seen { limits, values: Cell::new(0), problem: Cell::new(Problem::Malformed) };
    let mut parser = serde_json::Deserializer::from_str(text);
    let read = Value { seen: &seen, depth: 0 }.deserialize(&mut parser).and_then(|()| parser.end());
    read.map_err(|e| Refused::new(seen.problem.get(), e.to_string()))?;
    Ok(text)
}

/// What the walk has met so far. An error of serde carries only words, so what kind it is stands here.
struct Seen {
    limits: JsonLimits,
    values: Cell<usize>,
    problem: Cell<Problem>,
}

/// One value, walked over and not kept.
#[derive(Clone, Copy)]
struct Value<'s> {
    seen: &'s Seen,
    depth: usize,
}

impl Value<'_> {
    fn refuse<E: serde::de::Error>(self, problem: Problem, detail: impl fmt::Display) -> E {
        self.seen.problem.set(problem);
        E::custom(detail)
    }

    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        let values = self.seen.values.get() + 1;
        self.seen.values.set(values);
        if values > self.seen.limits.values {
            return Err(
                self.refuse(Problem::Limit, format_args!("more than {} values", self.seen.limits.values))
            );
        }
        Ok(())
    }

    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == self.seen.limits.depth {
            return Err(
                self.refuse(Problem::Limit, format_args!("nested deeper than {}", self.seen.limits.depth))
            );
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
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

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        if number.fract() == 0.0 && number.abs() >= EXACT_MAX {
            return Err(E::custom("a number that would lose digits"));
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while items.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        let mut keys = Keys::default();
        while let Some(key) = entries.next_key::<Text<'de>>()? {
            if !keys.insert(key.0.clone()) {
                let shown: String = key.0.chars().take(64).collect();
                return Err(self.refuse(Problem::DuplicateKey, format_args!("key {shown:?} stands twice")));
            }
            entries.next_value_seed(inside)?;
        }
        Ok(())
    }
}

/// The keys of one object: most have few.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    /// Whether it is new.
    fn insert(&mut self, key: Cow<'de, str>) -> bool {
        if self.few.len() < KEYS_COMPARED {
            let new = !self.few.contains(&key);
            self.few.push(key);
            return new;
        }
        !self.few.contains(&key) && self.many.insert(key)
    }
}

/// A string, borrowed from the document where it has no escapes.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// What is read from an object. A derived reader alone would also take an array of the fields in their order, which no other
/// reader takes for the same.
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

/// Reads an object that [`strict_text`] has passed.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Refused> {
    let read = serde_json::from_str::<Object<T>>(text);
    read.map(|object| object.0).map_err(|e| Refused::new(Problem::Malformed, format!("{what}: {e}")))
}

#[cfg(test)]
mod tests;
