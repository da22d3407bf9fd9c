//! Processor time, as Linux counts it: a figure that other programs on the machine spoil less than the time that passes.

use std::{collections::HashMap, fs, time::Duration};

/// The clock ticks of `/proc`, on every platform that Linux runs on today.
const TICKS_PER_SECOND: u64 = 100;

/// One line of `/proc/<pid>/stat`.
struct Stat {
    parent: u32,
    /// User and system time; with that of children that have ended.
    ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // the name of the command may have spaces and parentheses
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |n: usize| fields.get(n)?.parse::<u64>().ok();
        let ticks = (11..15).filter_map(number).sum();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

/// What a process and all that it started have used so far.
pub(crate) fn of_tree(root: u32) -> Duration {
    let mut stats: HashMap<u32, Stat> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let text = fs::read_to_string(entry.path().join("stat")).ok();
        if let (Some(pid), Some(stat)) = (pid, text.and_then(|text| Stat::parse(&text))) {
            stats.insert(pid, stat);
        }
    }
    let within = |pid: u32| {
        let mut at = pid;
        while at != root {
            match stats.get(&at) {
                Some(stat) if stat.parent != at => at = stat.parent,
                Some(_) | None => return false,
            }
        }
        true
    };
    let ticks: u64 = stats.iter().filter(|(pid, _)| within(**pid)).map(|(_, stat)| stat.ticks).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// What this process has used so far, without what it started.
pub(crate) fn of_this_process() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
    let ticks: u64 =
        fields.into_iter().flatten().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}
