//! Witnesses: directories that somebody meddled with, and servers that are asked, which may lie.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use touchstone_domain::Sha256;
use touchstone_testkit::{Port, Registry, TestMirror, custody::TestKeys, eventually, npm_package};
use touchstone_tlog::{TreeHead, proof::verify_consistency};
use url::Url;

use super::{copy, entries, incident, promoted, served, stop};
use crate::custody::world::{path, published, sealed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_went_back_is_brought_forward_and_one_that_lies_stops_nothing() {
    let registry = Registry::start().await;
    let [first, second, third] = ["first", "second", "third"].map(|name| npm_package(name, "1.0.0", &[], 10));
    for package in [&first, &second, &third] {
        registry.publish(package.clone());
    }
    let places = tempfile::tempdir().expect("a directory");
    let (witness, old) = (places.path().join("witness"), places.path().join("old"));
    let mirror = TestMirror::builder().registry(&registry).witness_dir(witness.clone()).start().await;
    served(&mirror, &first).await;
    sealed(&mirror).await;
    eventually("the witness has it", || async {
        let note = fs::read(witness.join("checkpoint")).ok()?;
        (note == fs::read(mirror.log_dir.join("checkpoint")).ok()?).then_some(())
    })
    .await;
    stop(&mirror).await;
    copy(&witness, &old);
    let start =
        || TestMirror::builder().beside(&mirror).registry(&registry).witness_dir(witness.clone()).start();
    let more = start().await;
    served(&more, &second).await;
    sealed(&more).await;
    stop(&more).await;

    fs::remove_dir_all(&witness).expect("removed");
    copy(&old, &witness);
    let back = start().await;
    eventually("the witness is as far as the log", || async {
        let note = fs::read(witness.join("checkpoint")).expect("a checkpoint");
        (note == fs::read(back.log_dir.join("checkpoint")).expect("a checkpoint")).then_some(())
    })
    .await;
    assert_eq!(promoted(&entries(&back, &witness)).len(), 2);
    let quiet = |kinds: Vec<String>| {
        !kinds.iter().any(|kind| kind.starts_with("log") || kind.starts_with("database"))
    };
    assert!(quiet(back.incidents().await));
    stop(&back).await;

    fs::write(witness.join("checkpoint"), "touchstone/test\n9999\nAAAA\n").expect("written");
    let lied = start().await;
    served(&lied, &third).await;
    incident(&lied, "log_rollback", "the checkpoint in ").await;
    assert_eq!(
        fs::read_to_string(witness.join("checkpoint")).expect("kept"),
        "touchstone/test\n9999\nAAAA\n"
    );
}

/// A witness that speaks C2SP tlog-witness: it verifies consistency, and signs whatever is.
#[derive(Clone)]
struct Witness {
    seen: Arc<Mutex<Seen>>,
    url: Url,
    _tasks: Arc<JoinSet<()>>,
}

/// The checkpoint that it shows, of such a size.
type Shown = fn(u64) -> Option<Vec<u8>>;

/// What it saw last, and the checkpoint that it shows of it.
struct Seen {
    head: TreeHead,
    shown: Option<Vec<u8>>,
}

impl Witness {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/w/", listener.local_addr().expect("bound")).parse().expect("an address");
        let head = TreeHead { size: 0, root: touchstone_tlog::empty_root() };
        let seen = Arc::new(Mutex::new(Seen { head, shown: None }));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&seen);
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _closed = answer(stream, &shared).await;
            }
        });
        Self { seen, url, _tasks: Arc::new(tasks) }
    }

    fn size(&self) -> u64 {
        self.seen.lock().expect("not poisoned").head.size
    }

    /// From now on it says that it saw this, and shows this of it.
    fn says(&self, size: u64, root: &str, shown: Option<Vec<u8>>) {
        let head = TreeHead { size, root: Sha256::of(root) };
        *self.seen.lock().expect("not poisoned") = Seen { head, shown };
    }
}

async fn answer(mut stream: TcpStream, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut request = vec![];
    let body = loop {
        let mut part = [0; 4096];
        let n = stream.read(&mut part).await?;
        request.extend(&part[..n]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if head.starts_with("GET ") {
            let path = format!("GET /w/{}/checkpoint HTTP/1.1", Sha256::of("touchstone/test"));
            assert!(head.starts_with(&path), "{head}");
            let shown = seen.lock().expect("not poisoned").shown.clone();
            return say(&mut stream, if shown.is_some() { "200 OK" } else { "404 Not Found" }, shown).await;
        }
        let length = head.to_ascii_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
        });
        if length.is_some_and(|length| body.len() >= length) || n == 0 {
            assert!(head.starts_with("POST /w/add-checkpoint HTTP/1.1"), "{head}");
            break body.to_owned();
        }
    };
    let (status, said) = judge(&body, &mut seen.lock().expect("not poisoned").head);
    say(&mut stream, status, Some(said.into_bytes())).await
}

async fn say(stream: &mut TcpStream, status: &str, said: Option<Vec<u8>>) -> std::io::Result<()> {
    let said = said.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", said.len());
    stream.write_all(&[head.as_bytes(), &said].concat()).await
}

fn judge(body: &str, seen: &mut TreeHead) -> (&'static str, String) {
    let (asked, note) = body.split_once("\n\n").expect("a proof and a checkpoint");
    let mut lines = asked.lines();
    let old: u64 = lines.next().and_then(|line| line.strip_prefix("old ")?.parse().ok()).expect("old");
    if old != seen.size {
        return ("409 Conflict", format!("{}\n", seen.size));
    }
    let hash = |line: &str| Sha256::from_slice(&STANDARD.decode(line).expect("base64")).expect("a hash");
    let proof: Vec<Sha256> = lines.map(hash).collect();
    let mut note = note.lines().skip(1);
    let size = note.next().and_then(|line| line.parse().ok()).expect("a size");
    let head = TreeHead { size, root: hash(note.next().expect("a root")) };
    if verify_consistency(&head, seen, &proof).is_err() {
        return ("422 Unprocessable Entity", String::new());
    }
    *seen = head;
    ("200 OK", "\u{2014} witness.example AAAAAAAA\n".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_cosigns_each_checkpoint_and_stops_promotion_by_what_our_key_signed_alone() {
    let registry = Registry::start().await;
    let packages: Vec<_> = (0..7).map(|n| npm_package(&format!("package-{n}"), "1.0.0", &[], 10)).collect();
    for package in &packages {
        registry.publish(package.clone());
    }
    let witness = Witness::start().await;
    let mirror = TestMirror::builder().registry(&registry).witness_url(witness.url.clone()).start().await;
    for package in &packages[..3] {
        served(&mirror, package).await;
        sealed(&mirror).await;
    }
    let kept =
        mirror.log_dir.join("witness").join(format!("127.0.0.1-{}", witness.url.port().expect("a port")));
    eventually("the witness signed all", || async {
        let cosigned = fs::read_to_string(&kept).ok()?;
        let size = published(&mirror);
        (witness.size() == size
            && cosigned.starts_with(&format!("touchstone/test\n{size}\n"))
            && cosigned.ends_with("\u{2014} witness.example AAAAAAAA\n"))
        .then_some(())
    })
    .await;
    stop(&mirror).await;
    assert!(mirror.incidents().await.is_empty());
    let start = || {
        let builder = TestMirror::builder().beside(&mirror).registry(&registry);
        builder.hold(Duration::from_millis(500)).witness_url(witness.url.clone()).start()
    };
    let signed = |keys: &TestKeys, size: u64, root: &str| {
        let head = TreeHead { size, root: Sha256::of(root) };
        keys.log_key().sign(&head.checkpoint_text("touchstone/test")).expect("signed")
    };

    // It says that it saw more, or another log, and has nothing of ours that shows it.
    let claims: [(u64, Shown); 4] = [
        (5, |_| None),
        (0, |_| None),
        (5, |size| Some(format!("touchstone/test\n{size}\nAAAA\n").into_bytes())),
        (5, |size| {
            let head = TreeHead { size, root: Sha256::of("more") };
            Some(TestKeys::new(2).log_key().sign(&head.checkpoint_text("touchstone/test")).expect("signed"))
        }),
    ];
    for ((more, shown), package) in claims.into_iter().zip(&packages[3..]) {
        let size = published(&mirror) + more;
        witness.says(size, "more", shown(size));
        let lied = start().await;
        served(&lied, package).await;
        incident(&lied, "log_rollback", "and shows no checkpoint of ours").await;
        sealed(&lied).await;
        stop(&lied).await;
    }

    // It saw more than there is, by a log that was lost with the database; and another log of the same size.
    let size = published(&mirror);
    let absent = npm_package("absent", "1.0.0", &[], 10);
    registry.publish(absent.clone());
    for (seen, kind, problem) in [
        (
            size + 5,
            "database_rollback",
            format!("the witness 127.0.0.1-{} has {}", witness.url.port().expect("a port"), size + 5),
        ),
        (size, "log_rollback", "contradict each other".to_owned()),
    ] {
        witness.says(seen, "more", Some(signed(&mirror.keys, seen, "more")));
        let halted = start().await;
        incident(&halted, kind, &problem).await;
        assert_ne!(halted.get(&path(&absent)).await.status(), 200);
        stop(&halted).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_stops_nothing() {
    let registry = Registry::start().await;
    let package = npm_package("package", "1.0.0", &[], 10);
    registry.publish(package.clone());
    let port = Port::take();
    let url: Url = format!("http://{}/", port.address()).parse().expect("an address");
    let mirror = TestMirror::builder().registry(&registry).witness_url(url).start().await;
    served(&mirror, &package).await;
    sealed(&mirror).await;
}
