//! What a database and a proxy say instead of the truth, so that bytes pass of which the true database has others on record
//! (threats.md, group G). Each case has what the sumdb check must find, and what the go command says when it is left alone
//! with the liars.

use std::collections::BTreeSet;

use touchstone_testkit::{Fault, Lie, Lines, Module, NoteLie, Registry, TileForgery};

/// The module that is lied about, in as many versions as there are cases.
const PATH: &str = "example.com/Lied/about";

/// A version: as it was recorded, and as it is served.
pub(super) struct Subject {
    pub(super) genuine: Module,
    pub(super) changed: Module,
}

type Recording = Box<dyn Fn(&Subject) -> String + Send + Sync>;
type Lying = Box<dyn Fn(&Registry, &Subject) + Send + Sync>;

/// One way to lie.
pub(super) struct Case {
    /// What a failing test prints.
    pub(super) name: String,
    /// The code of the problem that the sumdb check finds.
    pub(super) code: &'static str,
    /// What the go command says.
    pub(super) go_says: &'static str,
    /// What the database has on record, if not the genuine digests.
    recorded: Option<Recording>,
    /// Begins to lie.
    lying: Lying,
}

impl Subject {
    fn new(number: usize) -> Self {
        let genuine = Module::new(PATH, &format!("v1.{number}.0"));
        let other = format!("module {PATH}\n\ngo 1.21\n\n// other\n");
        let changed = genuine.clone().file("evil.go", "package mabout\n").with_go_mod(&other);
        Self { genuine, changed }
    }

    /// What the database would have to have on record for what is served.
    fn wanted(&self) -> String {
        lines(&self.changed)
    }
}

/// The record of a module.
fn lines(module: &Module) -> String {
    let Module { path, version, .. } = module;
    format!("{path} {version} {}\n{path} {version}/go.mod {}\n", module.zip_h1(), module.mod_h1())
}

impl Case {
    /// Publishes one more version, and begins to lie.
    pub(super) fn begin(&self, registry: &Registry, number: usize) -> Subject {
        let subject = self.publish(registry, number);
        self.lie(registry, &subject);
        subject
    }

    /// Publishes one more version: records what the case says, and serves other bytes.
    pub(super) fn publish(&self, registry: &Registry, number: usize) -> Subject {
        let subject = Subject::new(number);
        let Module { path, version, .. } = &subject.genuine;
        if let Some(text) = &self.recorded {
            registry.sumdb().record_text(path, version, text(&subject));
        }
        registry.publish_module(subject.genuine.clone());
        registry.serve_module(subject.changed.clone());
        subject
    }

    /// Lies in this way alone.
    pub(super) fn lie(&self, registry: &Registry, subject: &Subject) {
        registry.sumdb().honest();
        registry.honest();
        (self.lying)(registry, subject);
    }

    fn new(
        name: impl Into<String>,
        (code, go_says): Found,
        lying: impl Fn(&Registry, &Subject) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), code, go_says, recorded: None, lying: Box::new(lying) }
    }

    fn recorded(name: &str, found: Found, text: impl Fn(&Subject) -> String + Send + Sync + 'static) -> Self {
        Self { recorded: Some(Box::new(text)), ..Self::new(name, found, |_, _| {}) }
    }

    fn told(
        name: impl Into<String>,
        found: Found,
        lie: impl Fn(&Subject) -> Lie + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, found, move |registry, subject| registry.sumdb().lie(lie(subject)))
    }
}

/// What the sumdb check finds, and what go says.
type Found = (&'static str, &'static str);

const NO_LINE: Found = ("other_module", "checksum missing from sumdb response");
const OTHER_RECORD: Found = ("record_mismatch", "cannot authenticate record data in server response");
const NO_NUMBER: Found = ("lookup_id", "malformed record data");

/// G-01, G-02, and what the go command once took from beside the record (CVE-2026-42501, CVE-2026-56864).
pub(super) fn records() -> Vec<Case> {
    let unrelated = |name: &str, found, lines: fn(String) -> Lines| {
        Case::told(name, found, move |subject| Lie::UnrelatedRecord(lines(subject.wanted())))
    };
    let line = |subject: &Subject, number: usize| {
        format!("{}\n", subject.wanted().lines().nth(number).expect("two lines"))
    };
    vec![
        Case::new("an empty answer", ("empty", "malformed record data"), |registry, subject| {
            registry.fault(&subject.genuine.lookup(), Fault::Bytes(vec![]));
        }),
        Case::new("an empty answer in chunks", ("empty", "malformed record data"), |registry, subject| {
            registry.fault(&subject.genuine.lookup(), Fault::Chunks(vec![]));
        }),
        Case::new("half an answer in chunks", ("note_malformed", "malformed note"), |registry, subject| {
            registry.fault(&subject.genuine.lookup(), Fault::Short);
        }),
        unrelated("a genuine record of another module", NO_LINE, |_| Lines::Absent),
        Case::new("the same in chunks", NO_LINE, |registry, subject| {
            registry.sumdb().lie(Lie::UnrelatedRecord(Lines::Absent));
            registry.fault(&subject.genuine.lookup(), Fault::Lengthless);
        }),
        unrelated("with lines after the record", OTHER_RECORD, Lines::AfterRecord),
        unrelated("with lines in the note", NO_LINE, Lines::InNote),
        unrelated("with lines after the note", ("note_malformed", "malformed note"), Lines::AfterNote),
        unrelated("with lines before the number", NO_NUMBER, Lines::BeforeNumber),
        Case::recorded("no line at all", NO_LINE, |_| "example.com/else v1.0.0 h1:x\n".to_owned()),
        Case::recorded("no line for the go.mod", NO_LINE, move |subject| line(subject, 0)),
        Case::recorded("a line for the go.mod alone", NO_LINE, move |subject| line(subject, 1)),
        Case::recorded("lines of another case", NO_LINE, |subject| subject.wanted().to_lowercase()),
        Case::recorded("digests that are none", ("line_malformed", NO_LINE.1), |subject| {
            subject.wanted().replace("h1:", "h2:")
        }),
        Case::recorded("two digests", ("line_malformed", "checksum mismatch"), |subject| {
            format!("{}{}", lines(&subject.genuine), subject.wanted())
        }),
    ]
}

/// G-11: the record's number.
pub(super) fn numbers() -> Vec<Case> {
    let number = |name: &str, found, number: fn(u64) -> String| {
        Case::new(name, found, move |registry: &Registry, _: &Subject| {
            let last = registry.sumdb().size() - 1;
            registry.sumdb().lie(Lie::Number(number(last)));
        })
    };
    vec![
        number("beyond the tree", ("record_beyond_tree", "cannot validate record"), |last| {
            (last + 1).to_string()
        }),
        number("of another record", OTHER_RECORD, |_| "0".to_owned()),
        number("negative", ("lookup_id", OTHER_RECORD.1), |_| "-1".to_owned()),
        number("beyond 64 bits", NO_NUMBER, |_| "18446744073709551616".to_owned()),
        // go reads it as the number, and finds the genuine record.
        number("with a zero before it", ("lookup_id", "checksum mismatch"), |last| format!("0{last}")),
        number("none", NO_NUMBER, |_| String::new()),
    ]
}

/// G-10: the signed note.
pub(super) fn notes() -> Vec<Case> {
    let note = |name: &str, found, lie: fn() -> NoteLie| Case::told(name, found, move |_| Lie::Note(lie()));
    let head = |name: &str, code, size: &str, root: &str| {
        let text = format!("go.sum database tree\n{size}\n{root}\n");
        let lie = move |_: &Subject| Lie::Note(NoteLie::Text(text.clone()));
        Case::told(name, (code, "malformed tree note"), lie)
    };
    let unsigned = ("note_unsigned", "note has no verifiable signatures");
    let malformed = |code| (code, "malformed note");
    let root = "A".repeat(43) + "=";
    vec![
        note("another key of that name", unsigned, || NoteLie::OtherKey),
        note("a forged signature", ("note_signature", "invalid signature for key"), || NoteLie::Forged),
        note("another hash of the key", unsigned, || NoteLie::WrongHash),
        note("a name that looks alike", unsigned, || NoteLie::Homoglyph),
        note("a thousand signatures more", malformed("note_signatures"), || NoteLie::MoreSignatures(1000)),
        note("no newline", malformed("note_malformed"), || NoteLie::NoNewline),
        note("not UTF-8", malformed("note_characters"), || NoteLie::NotUtf8),
        note("control characters", malformed("note_characters"), || NoteLie::Control),
        note("no tree", ("head_origin", "malformed tree note"), || {
            NoteLie::Text("another\n1\nx\n".to_owned())
        }),
        head("a negative size", "head_size", "-1", &root),
        head("a size with a zero before it", "head_size", "0600", &root),
        head("no root", "head_root", "600", "AAAA"),
    ]
}

/// G-06: each tile on the path of record `id` and of the right edge of the tree, forged in each way; and the record forged
/// in as many levels as there are but for the root.
pub(super) fn tiles(size: u64, id: u64) -> Vec<Case> {
    let levels = (0..8).take_while(|level| size >> (8 * level) > 0).count();
    let mut cases = vec![];
    for level in 0..levels {
        let hashes = size >> (8 * level);
        let last = (hashes - 1) / 256;
        for index in BTreeSet::from([id >> (8 * (level + 1)), last]) {
            for forgery in FORGERIES {
                let name = format!("level {level} tile {index} of {size}: {forgery:?}");
                let lie = Lie::Tile { level: u8::try_from(level).expect("few"), index, forgery };
                // Nothing above vouches for what is not full but the root itself.
                let edge = index == last && !hashes.is_multiple_of(256);
                cases.push(Case::told(name, forged_tile(forgery, edge), move |_| lie.clone()));
            }
        }
    }
    for forged in 0..=levels {
        let found = match forged {
            0 => OTHER_RECORD,
            forged if forged == levels => ("tile_root", INCONSISTENT),
            _ => ("tile_mismatch", INCONSISTENT),
        };
        let name = format!("the record forged in {forged} of {levels} levels of {size}");
        cases.push(Case::told(name, found, move |subject| {
            let module = (subject.genuine.path.clone(), subject.genuine.version.clone());
            Lie::ForgedRecord { module, text: subject.wanted(), levels: u8::try_from(forged).expect("few") }
        }));
    }
    cases
}

const INCONSISTENT: &str = "downloaded inconsistent tile";

const FORGERIES: [TileForgery; 6] = [
    TileForgery::Flip(0),
    TileForgery::OtherIndex,
    TileForgery::Narrow,
    TileForgery::Wide,
    TileForgery::Ragged,
    TileForgery::Empty,
];

fn forged_tile(forgery: TileForgery, edge: bool) -> Found {
    match (forgery, edge) {
        (TileForgery::Flip(_) | TileForgery::OtherIndex, false) => ("tile_mismatch", INCONSISTENT),
        (TileForgery::Flip(_) | TileForgery::OtherIndex, true) => ("tile_root", INCONSISTENT),
        (TileForgery::Narrow | TileForgery::Wide | TileForgery::Ragged | TileForgery::Empty, _) => {
            ("tile_length", "TileReader returned bad result slice")
        }
    }
}
