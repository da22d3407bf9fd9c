//! A witness that shows what a restored database lacks, just when Postgres fails.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use touchstone_domain::Sha256;
use touchstone_tlog::TreeHead;

use super::world::World;
use crate::sealer::NOT_COMPARED;

/// Says to each checkpoint that it saw so many entries, and shows this; after `sql`, when it shows it.
async fn witness(
    listener: &TcpListener,
    (size, shown): (u64, &[u8]),
    world: &World,
    sql: &str,
) -> io::Result<()> {
    let mut is_first = true;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut request = String::new();
        while !is_whole(&request) {
            let mut part = [0; 4096];
            let n = stream.read(&mut part).await?;
            assert!(n > 0, "the request ends early: {request}");
            request.push_str(&String::from_utf8_lossy(&part[..n]));
        }
        let (status, body) = if request.starts_with("GET ") {
            if std::mem::take(&mut is_first) {
                world.rows(sql).await;
            }
            ("200 OK", shown.to_vec())
        } else {
            ("409 Conflict", format!("{size}\n").into_bytes())
        };
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

#[tokio::test]
async fn what_a_witness_shows_stops_promotion_even_if_postgres_failed_when_it_was_shown() {
    for (is_more, fail, mend, problem) in [
        (
            true,
            "ALTER TABLE log_seal RENAME note TO other",
            "ALTER TABLE log_seal RENAME other TO note",
            "an older backup was restored",
        ),
        (
            false,
            "ALTER TABLE log_leaf RENAME source TO other",
            "ALTER TABLE log_leaf RENAME other TO source",
            "contradict each other",
        ),
    ] {
        let world = World::new().await;
        world.served("1.0.0").await;
        let (_, mut before) = world.beside();
        world.sealed(&mut before).await;
        drop(before);
        // No checkpoint tells what the tree was before: its leaves do.
        world.superuser("DELETE FROM log_seal WHERE size < (SELECT max(size) FROM log_seal)").await;
        let size = world.promote.store.log_tip().await.expect("read").size();
        let seen = if is_more { size + 5 } else { 1 };
        let head = TreeHead { size: seen, root: Sha256::of("another") };
        let shown = world.keys.log_key().sign(&head.checkpoint_text("touchstone/test")).expect("signed");

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let (promote, mut sealer) = world.beside_asking(vec![url.parse().expect("an address")]);
        let cycles = async {
            sealer.cycle().await;
            assert_eq!(promote.halt.borrow().as_deref(), Some(NOT_COMPARED), "{problem}");
            world.rows(mend).await;
            sealer.cycle().await;
        };
        tokio::select! {
            () = cycles => {}
            ended = witness(&listener, (size + 5, &shown), &world, fail) => panic!("{ended:?}"),
        }
        let halted = promote.halt.borrow().clone().expect("nothing is promoted");
        assert!(halted.contains(problem), "{halted}");
    }
}
