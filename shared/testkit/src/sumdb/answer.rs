//! `/latest`, `/lookup/` and `/tile/`.

use super::{Lie, Lines, Log, PartialTiles, State, Sumdb, head, tree::Tree};
use crate::{
    goproxy::{Answer, unescape},
    registry::lock,
};

/// What is asked for, by the path below the database's own address.
pub(crate) struct Endpoint<'a>(pub(crate) &'a str);

/// The record that lies answer with instead of the one that was asked for.
const UNRELATED: u64 = 0;

impl Sumdb {
    /// The answer; `None` for what is not there.
    pub(crate) fn answer(&self, endpoint: &Endpoint<'_>) -> Option<Answer> {
        let state = lock(&self.state);
        let text = |body| Some(Answer { content_type: "text/plain; charset=utf-8", body, lengthless: false });
        match endpoint.0 {
            "supported" => text(vec![]),
            "latest" => text(state.latest()),
            path => {
                if let Some(coordinate) = path.strip_prefix("lookup/") {
                    return text(state.lookup(coordinate)?);
                }
                let body = state.tile(path.strip_prefix("tile/8/")?)?;
                Some(Answer { content_type: "application/octet-stream", body, lengthless: false })
            }
        }
    }
}

impl State {
    fn latest(&self) -> Vec<u8> {
        let old = self.told(|lie| if let Lie::OldLatest { size } = lie { Some(*size) } else { None });
        self.note(old.unwrap_or_else(|| self.size()), "")
    }

    /// What is shown: the log, or the fork of it.
    fn shown(&self) -> &Log {
        let forked = self.lies.iter().any(|lie| matches!(lie, Lie::Fork { .. }));
        self.forged.as_ref().filter(|_| forked).unwrap_or(&self.log)
    }

    fn size(&self) -> u64 {
        let rolled_back = self.told(|lie| if let Lie::Rollback { size } = lie { Some(*size) } else { None });
        rolled_back.unwrap_or_else(|| self.shown().tree.size())
    }

    fn note(&self, size: u64, more: &str) -> Vec<u8> {
        let text = head(&self.shown().tree, size) + more;
        let lie = self.told(|lie| if let Lie::Note(lie) = lie { Some(lie) } else { None });
        lie.map_or_else(|| self.key.sign(text.as_bytes()), |lie| lie.sign(&self.key, &text))
    }

    fn lookup(&self, coordinate: &str) -> Option<Vec<u8>> {
        let (module, version) = coordinate.split_once('@')?;
        let coordinate = (unescape(module)?, unescape(version)?);
        let id = *self.ids.get(&format!("{}@{}", coordinate.0, coordinate.1))?;
        let size = self.lookup_size.filter(|size| *size > id).unwrap_or_else(|| self.size());
        if id >= size {
            return None;
        }
        let unrelated =
            self.told(|lie| if let Lie::UnrelatedRecord(lines) = lie { Some(lines) } else { None });
        if let Some(lines) = unrelated {
            return Some(self.unrelated(size, lines));
        }
        let forged = self.told(|lie| {
            if let Lie::ForgedRecord { module, text, .. } = lie { Some((module, text)) } else { None }
        });
        let forged = forged.filter(|(module, _)| **module == coordinate).map(|(_, text)| text.clone());
        let number = self.told(|lie| if let Lie::Number(text) = lie { Some(text.clone()) } else { None });
        let number = number.unwrap_or_else(|| id.to_string());
        let record = forged.unwrap_or_else(|| self.record(id));
        Some([format!("{number}\n{record}\n").as_bytes(), &self.note(size, "")].concat())
    }

    /// A genuine answer about another module, with lines around it.
    fn unrelated(&self, size: u64, lines: &Lines) -> Vec<u8> {
        let (mut before, mut record, mut in_note, mut after) = ("", self.record(UNRELATED), "", "");
        match lines {
            Lines::Absent => (),
            Lines::BeforeNumber(lines) => before = lines,
            Lines::AfterRecord(lines) => record += lines,
            Lines::InNote(lines) => in_note = lines,
            Lines::AfterNote(lines) => after = lines,
        }
        let start = format!("{before}{UNRELATED}\n{record}\n");
        [start.as_bytes(), &self.note(size, in_note), after.as_bytes()].concat()
    }

    /// What the first lie of a kind says.
    fn told<'a, T>(&'a self, of: impl FnMut(&'a Lie) -> Option<T>) -> Option<T> {
        self.lies.iter().find_map(of)
    }

    fn record(&self, id: u64) -> String {
        self.shown().records[usize::try_from(id).expect("in memory")].clone()
    }

    /// The tile at a path like `0/x001/234.p/5` or `data/000`.
    fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let (level, rest) = path.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse::<usize>().ok().filter(|w| (1..256).contains(w))?),
            None => (rest, 256),
        };
        let index = parse_index(index)?;
        if level == "data" {
            let records = &self.shown().records[..usize::try_from(self.size()).expect("in memory")];
            let start = usize::try_from(index).ok()?.checked_mul(256)?;
            let there: Vec<_> = records.iter().skip(start).take(256).collect();
            self.has(there.len(), width).then_some(())?;
            return Some(
                there[..width].iter().flat_map(|record| [record.as_bytes(), b"\n"].concat()).collect(),
            );
        }
        let level: u8 = level.parse().ok()?;
        let there = self.tree_at(level).tile(level, index);
        let reached =
            usize::try_from((self.size() >> (8 * u32::from(level))).saturating_sub(index * 256)).ok()?;
        self.has(there.len().min(reached), width).then_some(())?;
        let hashes = |tile: &[touchstone_domain::Sha256]| -> Vec<u8> {
            tile.iter().take(width).flat_map(|hash| hash.0).collect()
        };
        let mut forgeries = self.lies.iter().filter_map(|lie| {
            if let Lie::Tile { level, index, forgery } = lie {
                Some(((*level, *index), *forgery))
            } else {
                None
            }
        });
        let forgery = forgeries.find(|(at, _)| *at == (level, index)).map(|(_, forgery)| forgery);
        let tile = hashes(&there);
        let other = || hashes(&self.log.tree.tile(level, index ^ 1));
        Some(forgery.map_or_else(|| tile.clone(), |forgery| forgery.forge(tile.clone(), other())))
    }

    /// The tree that tiles of a level are taken from.
    fn tree_at(&self, level: u8) -> &Tree {
        let forged_below =
            self.told(|lie| if let Lie::ForgedRecord { levels, .. } = lie { Some(*levels) } else { None });
        match (&self.forged, forged_below) {
            (Some(forged), Some(levels)) if level < levels => &forged.tree,
            _ => &self.shown().tree,
        }
    }

    /// Whether a tile of this width is there, of which so many hashes are.
    fn has(&self, there: usize, width: usize) -> bool {
        match self.partial {
            _ if width == 256 => there == 256,
            PartialTiles::Any => width <= there,
            PartialTiles::Current => width == there,
            PartialTiles::Missing => false,
        }
    }
}

/// Groups of three digits; all but the last begin with `x`.
fn parse_index(text: &str) -> Option<u64> {
    let groups: Vec<&str> = text.split('/').collect();
    let (last, first) = groups.split_last()?;
    let digits = |group: &str| {
        (group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit())).then(|| group.parse().ok())?
    };
    let mut index: u64 = 0;
    for group in first {
        index = index.checked_mul(1000)? + digits(group.strip_prefix('x')?)?;
    }
    index = index.checked_mul(1000)?.checked_add(digits(last)?)?;
    (first.is_empty() || !first[0].ends_with("000")).then_some(index)
}
