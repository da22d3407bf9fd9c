//! What each service may say and hear on NATS, and the nats-server configuration that enforces it.
//!
//! *Invariant:* only promote makes or changes streams and consumers, and nobody deletes, purges or reads back any: whoever could
//! would only cost time, since Postgres has everything, but would cost it again and again.
//!
//! *Invariant:* each user hears the answers to its own requests alone: its inboxes begin with its own name.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    str::FromStr,
};

use touchstone_domain::{CheckKind, Ecosystem};

use crate::{
    ADVISORY_STREAM, LIVE_STREAM,
    provision::DEAD_LETTERS,
    subject::{self, ACK, API},
};

/// The shortest password, in bytes.
const PASSWORD_BYTES_MIN: usize = 16;
/// The longest.
const PASSWORD_BYTES_MAX: usize = 128;

/// A service, as NATS knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BusUser {
    /// Announces what it fetched, and hears decisions.
    Edge,
    /// A worker of the hash check.
    Hash,
    /// A worker of the attest check.
    Attest,
    /// A worker of the sumdb check.
    Sumdb,
    /// Makes streams and consumers, asks again, decides, and reads dead letters.
    Promote,
    /// Operators: looks whether workers are there.
    Console,
}

/// A word that names no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown NATS user {0:?}; known are edge, hash, attest, sumdb, promote and console")]
pub struct UnknownBusUser(pub String);

/// Why a password cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// A user has none.
    #[error("there is no password for {0}")]
    Missing(BusUser),
    /// It would need escaping in an address, or is too short to be one.
    #[error(
        "the password of {0} must have {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} letters, digits, dashes or underscores"
    )]
    Unfit(BusUser),
}

/// The subjects of one user; everything else is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Where it may publish.
    pub publish: Vec<String>,
    /// What it may subscribe to.
    pub subscribe: Vec<String>,
}

impl BusUser {
    /// Every user.
    pub const ALL: [Self; 6] =
        [Self::Edge, Self::Hash, Self::Attest, Self::Sumdb, Self::Promote, Self::Console];

    /// Its name, which is that of its service.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Hash => "hash",
            Self::Attest => "attest",
            Self::Sumdb => "sumdb",
            Self::Promote => "promote",
            Self::Console => "console",
        }
    }

    /// What it may do.
    pub fn permissions(self) -> Permissions {
        let (publish, heard) = match self {
            Self::Edge => (
                Ecosystem::ALL.into_iter().map(subject::fetched).collect(),
                vec![subject::DECISION_ALL.to_owned()],
            ),
            Self::Hash => (worker(CheckKind::Hash), vec![]),
            Self::Attest => (worker(CheckKind::Attest), vec![]),
            Self::Sumdb => (worker(CheckKind::Sumdb), vec![]),
            Self::Promote => (promote(), vec![subject::RECORDED.to_owned()]),
            Self::Console => (
                CheckKind::ALL.map(|check| format!("{API}.CONSUMER.INFO.{LIVE_STREAM}.{check}")).into(),
                vec![],
            ),
        };
        let own = format!("{}.>", inbox_prefix(self.as_str()));
        Permissions { publish, subscribe: heard.into_iter().chain([own]).collect() }
    }
}

impl fmt::Display for BusUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BusUser {
    type Err = UnknownBusUser;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|user| user.as_str() == text)
            .ok_or_else(|| UnknownBusUser(text.to_owned()))
    }
}

/// What the inboxes of a user begin with.
pub(crate) fn inbox_prefix(user: &str) -> String {
    format!("_INBOX_{user}")
}

/// A worker pulls from its own consumer, answers for what it was given, and rings promote.
fn worker(check: CheckKind) -> Vec<String> {
    vec![
        subject::RECORDED.to_owned(),
        format!("{API}.CONSUMER.INFO.{LIVE_STREAM}.{check}"),
        format!("{API}.CONSUMER.MSG.NEXT.{LIVE_STREAM}.{check}"),
        format!("{ACK}.{LIVE_STREAM}.{check}.>"),
    ]
}

fn promote() -> Vec<String> {
    let streams = [LIVE_STREAM, ADVISORY_STREAM]
        .into_iter()
        .flat_map(|stream| ["INFO", "CREATE", "UPDATE"].map(|verb| format!("{API}.STREAM.{verb}.{stream}")));
    let checks = CheckKind::ALL.map(|check| (LIVE_STREAM, check.as_str()));
    let consumers =
        checks.into_iter().chain([(ADVISORY_STREAM, DEAD_LETTERS)]).flat_map(|(stream, consumer)| {
            ["INFO", "CREATE"].map(|verb| format!("{API}.CONSUMER.{verb}.{stream}.{consumer}"))
        });
    let dead_letters = [
        format!("{API}.CONSUMER.MSG.NEXT.{ADVISORY_STREAM}.{DEAD_LETTERS}"),
        format!("{ACK}.{ADVISORY_STREAM}.{DEAD_LETTERS}.>"),
        format!("{API}.STREAM.MSG.GET.{LIVE_STREAM}"),
    ];
    let said = [subject::RECHECK_ALL, subject::DECISION_ALL].map(str::to_owned);
    streams.chain(consumers).chain(dead_letters).chain(said).collect()
}

/// A password for each user. Debug leaves them out.
#[derive(Clone)]
pub struct Passwords(BTreeMap<BusUser, String>);

impl Passwords {
    /// A random one for each.
    pub fn generate() -> Self {
        let password = |_| {
            let bytes: [u8; 24] = rand::random();
            bytes.iter().fold(String::new(), |mut hex, byte| {
                let _infallible = write!(hex, "{byte:02x}");
                hex
            })
        };
        Self(BusUser::ALL.into_iter().map(|user| (user, password(user))).collect())
    }

    /// These, one for each user.
    pub fn new(given: impl IntoIterator<Item = (BusUser, String)>) -> Result<Self, PasswordError> {
        let passwords: BTreeMap<BusUser, String> = given.into_iter().collect();
        for user in BusUser::ALL {
            let password = passwords.get(&user).ok_or(PasswordError::Missing(user))?;
            let plain = password.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if !plain || !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
                return Err(PasswordError::Unfit(user));
            }
        }
        Ok(Self(passwords))
    }

    /// The password of a user.
    pub fn of(&self, user: BusUser) -> &str {
        &self.0[&user]
    }

    /// The address of a server, as this user: `nats://host:port` with name and password put in.
    pub fn url(&self, server: &str, user: BusUser) -> String {
        let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}://{user}:{}@{host}", self.of(user))
    }

    /// The `authorization` block of a nats-server configuration, passwords in plain: the file is for the server alone.
    pub fn configuration(&self) -> String {
        let list = |subjects: &[String]| {
            let quoted: Vec<String> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
            format!("[\n          {}\n        ]", quoted.join("\n          "))
        };
        let mut text = String::from("authorization {\n  users = [\n");
        for user in BusUser::ALL {
            let Permissions { publish, subscribe } = user.permissions();
            let (publish, subscribe, password) = (list(&publish), list(&subscribe), self.of(user));
            let _infallible = write!(
                text,
                "    {{\n      user: \"{user}\", password: \"{password}\"\n      permissions: {{\n        \
                 publish: {{ allow: {publish} }}\n        subscribe: {{ allow: {subscribe} }}\n      }}\n    }}\n"
            );
        }
        text.push_str("  ]\n}\n");
        text
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}
