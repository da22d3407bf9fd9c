//! Changes to JSON that reach behind its syntax: members moved, doubled and taken out, strings and what base64 hides changed.
//!
//! Bytes changed anywhere would break the JSON, the base64 or the signature nearly always, and nothing behind it be reached.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use touchstone_fuzz::json::{Part, parts};

/// How deep JSON in base64 in JSON is followed.
const DEPTH_MAX: usize = 3;
/// How far a string may grow, in bytes.
const GROWTH_MAX: usize = 64;
const CONSTANTS: [&str; 12] =
    ["null", "true", "false", "0", "-1", "1e999", "9007199254740993", "\"\"", "\"0\"", "{}", "[]", "[[]]"];

/// Changes the document in the first `size` bytes, and returns its new size: at most `size_max`.
pub(crate) fn mutate(data: &mut [u8], size: usize, size_max: usize, seed: u32) -> usize {
    let mut choice = Choice(u64::from(seed) << 1 | 1);
    if choice.of(4) > 0
        && let Some(changed) = document(&data[..size], &mut choice, 0)
        && changed.len() <= size_max
    {
        data[..changed.len()].copy_from_slice(&changed);
        return changed.len();
    }
    libfuzzer_sys::fuzzer_mutate(data, size, size_max)
}

fn document(text: &[u8], choice: &mut Choice, depth: usize) -> Option<Vec<u8>> {
    let parts = parts(text);
    let part = parts.get(choice.of(parts.len()))?;
    let other = &text[parts.get(choice.of(parts.len()))?.value.clone()];
    match choice.of(8) {
        0 => Some(take_out(text, part)),
        1 => Some(with(text, part.whole().end, &[b",", &text[part.whole()]].concat())),
        2 => Some(replaced(text, part, other)),
        3 => Some(replaced(text, part, CONSTANTS[choice.of(CONSTANTS.len())].as_bytes())),
        4 => {
            // The same key again, or one that nobody knows, with another value.
            let same = |key: Range<usize>| [&text[key], b":".as_slice()].concat();
            let key =
                part.key.clone().map(|key| if choice.of(2) == 0 { same(key) } else { b"\"x\":".to_vec() });
            let key = key.unwrap_or_default();
            Some(with(text, part.whole().end, &[b",", key.as_slice(), other].concat()))
        }
        _ => {
            let strings: Vec<&Part> = parts.iter().filter(|p| text[p.value.start] == b'"').collect();
            let part = strings.get(choice.of(strings.len()))?;
            let string: String = serde_json::from_slice(&text[part.value.clone()]).ok()?;
            let changed = string_changed(&string, choice, depth)?;
            Some(replaced(text, part, serde_json::to_string(&changed).ok()?.as_bytes()))
        }
    }
}

/// Another string; what base64 hides in it is changed, not the base64.
fn string_changed(string: &str, choice: &mut Choice, depth: usize) -> Option<String> {
    match STANDARD.decode(string) {
        Ok(hidden) if hidden.len() > 3 && choice.of(8) > 0 => {
            let inside = if hidden.starts_with(b"{") && depth < DEPTH_MAX && choice.of(4) > 0 {
                document(&hidden, choice, depth + 1)?
            } else {
                bytes_changed(hidden)
            };
            Some(STANDARD.encode(inside))
        }
        Ok(_) | Err(_) => String::from_utf8(bytes_changed(string.as_bytes().to_vec())).ok(),
    }
}

fn bytes_changed(mut bytes: Vec<u8>) -> Vec<u8> {
    let size = bytes.len();
    let size_max = size + GROWTH_MAX;
    bytes.resize(size_max, 0);
    let size = libfuzzer_sys::fuzzer_mutate(&mut bytes, size, size_max);
    bytes.truncate(size);
    bytes
}

fn replaced(text: &[u8], part: &Part, value: &[u8]) -> Vec<u8> {
    [&text[..part.value.start], value, &text[part.value.end..]].concat()
}

fn with(text: &[u8], at: usize, inserted: &[u8]) -> Vec<u8> {
    [&text[..at], inserted, &text[at..]].concat()
}

/// Takes out a member or element and the comma beside it.
fn take_out(text: &[u8], part: &Part) -> Vec<u8> {
    let whole = part.whole();
    let (mut before, mut after) = (&text[..whole.start], &text[whole.end..]);
    if let Some(rest) = after.trim_ascii_start().strip_prefix(b",") {
        after = rest;
    } else if let Some(rest) = before.trim_ascii_end().strip_suffix(b",") {
        before = rest;
    }
    [before, after].concat()
}

/// A stream of choices; the same for the same seed, so that a run can be repeated.
struct Choice(u64);

impl Choice {
    /// A number below `count`; 0 if there is none.
    fn of(&mut self, count: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or_default() % count.max(1)
    }
}
