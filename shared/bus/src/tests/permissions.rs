//! With each user's real credentials: what it may not do, nats-server refuses, and nothing comes of it.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::*;
use crate::{PasswordError, Passwords};

const EDGE: BusUser = BusUser::Edge;
const HASH: BusUser = BusUser::Hash;
const PROMOTE: BusUser = BusUser::Promote;
const WORKERS: &[BusUser] = &[BusUser::Hash, BusUser::Attest, BusUser::Sumdb];
const NOBODY: &[BusUser] = &[];

/// Where something is published, and who may.
const PUBLISH: &[(&str, &[BusUser])] = &[
    ("touchstone.v1.artifact-fetched.npm", &[EDGE]),
    ("touchstone.v1.artifact-fetched.npm.more", NOBODY),
    ("touchstone.v1.verdict-recorded", WORKERS),
    ("touchstone.v1.recheck.hash.npm", &[PROMOTE]),
    ("touchstone.v1.decision.npm", &[PROMOTE]),
    ("touchstone.v1.other", NOBODY),
    // somebody else's answers, and advisories that the server alone writes
    ("_INBOX.x", NOBODY),
    ("_INBOX_promote.x", NOBODY),
    ("_INBOX_edge.x", NOBODY),
    ("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.LIVE.hash", NOBODY),
    ("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.LIVE.hash", NOBODY),
    ("$SYS.REQ.SERVER.PING", NOBODY),
    ("$SYS.ACCOUNT.$G.SERVER.CONNS", NOBODY),
    // streams
    ("$JS.API.STREAM.INFO.LIVE", &[PROMOTE]),
    ("$JS.API.STREAM.CREATE.LIVE", &[PROMOTE]),
    ("$JS.API.STREAM.UPDATE.LIVE", &[PROMOTE]),
    ("$JS.API.STREAM.MSG.GET.LIVE", &[PROMOTE]),
    ("$JS.API.STREAM.CREATE.OTHER", NOBODY),
    ("$JS.API.STREAM.UPDATE.OTHER", NOBODY),
    ("$JS.API.STREAM.DELETE.LIVE", NOBODY),
    ("$JS.API.STREAM.PURGE.LIVE", NOBODY),
    ("$JS.API.STREAM.MSG.DELETE.LIVE", NOBODY),
    ("$JS.API.STREAM.SNAPSHOT.LIVE", NOBODY),
    ("$JS.API.STREAM.RESTORE.LIVE", NOBODY),
    ("$JS.API.STREAM.NAMES", NOBODY),
    ("$JS.API.DIRECT.GET.LIVE", NOBODY),
    ("$JS.API.STREAM.DELETE.ADVISORY", NOBODY),
    ("$JS.API.INFO", NOBODY),
    // consumers
    ("$JS.API.CONSUMER.INFO.LIVE.hash", &[HASH, PROMOTE, BusUser::Console]),
    ("$JS.API.CONSUMER.CREATE.LIVE.hash", &[PROMOTE]),
    ("$JS.API.CONSUMER.CREATE.LIVE.hash.touchstone.v1.decision.npm", NOBODY),
    ("$JS.API.CONSUMER.CREATE.LIVE.spy", NOBODY),
    ("$JS.API.CONSUMER.CREATE.LIVE", NOBODY),
    ("$JS.API.CONSUMER.DURABLE.CREATE.LIVE.hash", NOBODY),
    ("$JS.API.CONSUMER.DELETE.LIVE.hash", NOBODY),
    ("$JS.API.CONSUMER.PAUSE.LIVE.hash", NOBODY),
    ("$JS.API.CONSUMER.RESET.LIVE.hash", NOBODY),
    ("$JS.API.CONSUMER.NAMES.LIVE", NOBODY),
    // work: one's own alone
    ("$JS.API.CONSUMER.MSG.NEXT.LIVE.hash", &[HASH]),
    ("$JS.API.CONSUMER.MSG.NEXT.LIVE.attest", &[BusUser::Attest]),
    ("$JS.API.CONSUMER.MSG.NEXT.LIVE.sumdb", &[BusUser::Sumdb]),
    ("$JS.API.CONSUMER.MSG.NEXT.ADVISORY.dead-letters", &[PROMOTE]),
    ("$JS.ACK.LIVE.hash.1.1.1.1.0", &[HASH]),
    ("$JS.ACK.LIVE.attest.1.1.1.1.0", &[BusUser::Attest]),
    ("$JS.ACK.ADVISORY.dead-letters.1.1.1.1.0", &[PROMOTE]),
];

/// What is listened to, and who may.
const SUBSCRIBE: &[(&str, &[BusUser])] = &[
    ("touchstone.v1.decision.>", &[EDGE]),
    ("touchstone.v1.decision.npm", &[EDGE]),
    ("touchstone.v1.verdict-recorded", &[PROMOTE]),
    ("touchstone.v1.artifact-fetched.>", NOBODY),
    ("touchstone.v1.recheck.hash.>", NOBODY),
    ("touchstone.>", NOBODY),
    (">", NOBODY),
    ("*", NOBODY),
    ("_INBOX.>", NOBODY),
    ("*.>", NOBODY),
    ("_INBOX_edge.>", &[EDGE]),
    ("_INBOX_edge.one.*", &[EDGE]),
    ("_INBOX_hash.>", &[HASH]),
    ("_INBOX_promote.>", &[PROMOTE]),
    ("$JS.>", NOBODY),
    ("$JS.API.>", NOBODY),
    ("$JS.ACK.LIVE.hash.>", NOBODY),
    ("$JS.EVENT.ADVISORY.>", NOBODY),
    ("$SYS.>", NOBODY),
];

/// The protocol itself, spoken so that the server answers each line.
struct Line {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Line {
    async fn open(server: &Server, user: &str, password: &str) -> Self {
        let address = server.url().replace("nats://", "");
        let (reader, writer) = TcpStream::connect(address).await.expect("listens").into_split();
        let mut line = Self { reader: BufReader::new(reader), writer };
        assert!(line.read().await.starts_with("INFO "));
        let who = format!("CONNECT {{\"user\":\"{user}\",\"pass\":\"{password}\",\"verbose\":true}}\r\n");
        line.writer.write_all(who.as_bytes()).await.expect("sent");
        line
    }

    async fn read(&mut self) -> String {
        let mut text = String::new();
        let read = timeout(PATIENCE, self.reader.read_line(&mut text)).await.expect("an answer");
        assert_ne!(read.expect("open"), 0, "the server closed the connection");
        text.trim_end().to_owned()
    }

    /// Whether the server does as told: a round trip shows all that it has to say.
    async fn ask(&mut self, command: &str) -> Result<(), String> {
        self.writer.write_all(format!("{command}\r\nPING\r\n").as_bytes()).await.expect("sent");
        let mut refused = Ok(());
        loop {
            match self.read().await.as_str() {
                "PONG" => return refused,
                error if error.starts_with("-ERR") => refused = Err(error.to_owned()),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn what_a_user_may_not_say_or_hear_is_refused() {
    let world = World::new().await;
    world.promote.provision(&[CheckKind::Hash, CheckKind::Attest, CheckKind::Sumdb]).await.expect("made");
    let state = async || {
        let operator = world.server.operator().await;
        let live = operator.jetstream.get_stream(LIVE_STREAM).await.expect("it is there");
        (live.cached_info().config.clone(), live.cached_info().state.consumer_count)
    };
    let before = state().await;
    for user in BusUser::ALL {
        let mut line = Line::open(&world.server, user.as_str(), world.server.passwords.of(user)).await;
        for (subject, may) in PUBLISH {
            let expected = if may.contains(&user) {
                Ok(())
            } else {
                Err(format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'"))
            };
            assert_eq!(line.ask(&format!("PUB {subject} 0\r\n")).await, expected, "{user}");
        }
        for (subject, may) in SUBSCRIBE {
            for group in ["", " group"] {
                let found = line.ask(&format!("SUB {subject}{group} 1\r\nUNSUB 1")).await;
                let refused = found.as_ref().is_err_and(|error| {
                    error.starts_with(&format!(
                        "-ERR 'Permissions Violation for Subscription to \"{subject}\""
                    ))
                });
                assert_eq!(
                    (found.is_ok(), refused),
                    (may.contains(&user), !may.contains(&user)),
                    "{user}: {found:?}"
                );
            }
        }
    }
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn who_has_no_password_is_nobody() {
    let server = Server::start().await;
    let edge = server.passwords.of(EDGE);
    for (user, password) in [("edge", "wrong"), ("", ""), ("hash", edge), ("admin", edge), ("edge", "")] {
        let mut line = Line::open(&server, user, password).await;
        assert_eq!(line.read().await, "-ERR 'Authorization Violation'", "{user:?} {password:?}");
    }
    assert_eq!(Line::open(&server, "edge", edge).await.ask("PING").await, Ok(()));
}

/// The server itself sends receipts and messages wherever a request says. So somebody's own rights make it write on subjects that
/// are not theirs: nothing that is written so is believed, and no stream is emptied by it.
#[tokio::test]
async fn what_the_server_writes_for_a_user_is_not_believed() {
    let world = World::new().await;
    world.edge.publish_fetched(&[event(1)]).await.expect("accepted");
    let mut promoter = world.promote.recorded().await.expect("a subscription");
    let mut decisions = world.edge.decisions().await.expect("a subscription");
    caught_up(&world).await;
    let mut edge = Line::open(&world.server, "edge", world.server.passwords.of(EDGE)).await;
    let before = messages(&world.promote).await;
    for reply in ["$JS.API.STREAM.PURGE.LIVE", "$JS.API.STREAM.DELETE.LIVE", "touchstone.v1.verdict-recorded"]
    {
        let said = edge.ask(&format!("PUB touchstone.v1.artifact-fetched.npm {reply} 2\r\n{{}}")).await;
        assert_eq!(said, Ok(()));
    }
    let mut hash = Line::open(&world.server, "hash", world.server.passwords.of(HASH)).await;
    let next = hash.ask("PUB $JS.API.CONSUMER.MSG.NEXT.LIVE.hash touchstone.v1.decision.npm 0\r\n").await;
    assert_eq!(next, Ok(()));
    let decided =
        Decided { artifact: ArtifactDbId(1), ecosystem: Ecosystem::Npm, state: ArtifactState::Held };
    world.promote.publish_decisions(&[decided]).await.expect("accepted");
    world.hash.publish_recorded(&[rung(9)]).await.expect("sent");
    assert_eq!(timeout(PATIENCE, decisions.next()).await.expect("heard"), Some(vec![decided]));
    assert_eq!(timeout(PATIENCE, promoter.next()).await.expect("heard"), Some(vec![rung(9)]));
    assert!(messages(&world.promote).await > before, "nothing was purged");
}

#[test]
fn passwords_that_need_escaping_or_are_short_are_refused() {
    let good = |user: BusUser| (user, format!("0123456789_abc-{user}"));
    let passwords = Passwords::new(BusUser::ALL.map(good)).expect("fit");
    assert_eq!(
        passwords.url("nats://h.example:4222", EDGE),
        "nats://edge:0123456789_abc-edge@h.example:4222"
    );
    assert_eq!(passwords.url("nats://a:b@h.example", EDGE), "nats://edge:0123456789_abc-edge@h.example");
    assert_eq!(format!("{passwords:?}"), "Passwords { .. }");
    let without = Passwords::new(BusUser::ALL.into_iter().filter(|user| *user != HASH).map(good));
    assert_eq!(without.unwrap_err(), PasswordError::Missing(HASH));
    for bad in
        ["short", "0123456789\"abcdef", "$2a$11$0123456789abcdef", "0123456789 abcdef", &"a".repeat(129)]
    {
        let given = BusUser::ALL.map(|user| if user == HASH { (user, bad.to_owned()) } else { good(user) });
        assert_eq!(Passwords::new(given).unwrap_err(), PasswordError::Unfit(HASH), "{bad}");
    }
    let generated = [Passwords::generate(), Passwords::generate()];
    assert_eq!(generated[0].of(EDGE).len(), 48);
    assert_ne!(generated[0].of(EDGE), generated[1].of(EDGE));
    assert_ne!(generated[0].of(EDGE), generated[0].of(HASH));
}
