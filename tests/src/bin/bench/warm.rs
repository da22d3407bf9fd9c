//! Serving verified bytes, beside a server that verifies nothing, in the same run.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use touchstone_testkit::npm_package;

use crate::{http, rate, say, world::World};

const CONNECTIONS: u64 = 2;
const MIB: u64 = 1024 * 1024;
/// What is moved by each measurement.
const TOTAL: u64 = 4096 * MIB;
/// Each server gets so many turns, one after the other, and the best counts.
const TURNS: usize = 3;

pub(crate) async fn throughput() {
    let world = World::start().await;
    for size in [1, 64] {
        let package =
            npm_package(&format!("warm-{size}"), "1.0.0", &[], usize::try_from(size * MIB).expect("small"));
        let path = World::path(&package);
        let blob = world.mirror.blob(package.sha256());
        world.registry.publish(package);
        world.fetch(&path).await;
        let mut plain = Command::new(std::env::current_exe().expect("this program"))
            .arg("serve-plainly")
            .arg(&blob)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut port = String::new();
        BufReader::new(plain.stdout.take().expect("piped")).read_line(&mut port).expect("a line");
        let plain_address = format!("127.0.0.1:{}", port.trim());
        let (mut verified, mut sent) = (0.0_f64, 0.0_f64);
        for _ in 0..TURNS {
            verified = verified.max(measure(&world.edge(), &path, size).await);
            sent = sent.max(measure(&plain_address, "/", size).await);
        }
        drop(plain.stdin.take());
        plain.wait().expect("ended");
        let figure = format!("{verified:.0} MiB/s, plain {sent:.0} ({:.2}x)", verified / sent);
        say(&format!("warm serve, {size} MiB, verified / sendfile"), &figure, ">= 0.9x");
        assert!(Path::new(&blob).is_file(), "the plain server sent the same file");
    }
}

/// MiB per second over a few connections that stay open.
async fn measure(address: &str, path: &str, size: u64) -> f64 {
    let requests = TOTAL / MIB / size / CONNECTIONS;
    let began = Instant::now();
    let client = |address: String, path: String| {
        move || {
            let mut stream = TcpStream::connect(address).expect("connected");
            stream.set_nodelay(true).expect("set");
            let mut buffer = vec![0; 1024 * 1024];
            (0..requests).map(|_| http::get(&mut stream, &path, &mut buffer).expect("whole")).sum::<u64>()
        }
    };
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn_blocking(client(address.to_owned(), path.to_owned()));
    }
    let mut bytes = 0;
    while let Some(done) = clients.join_next().await {
        bytes += done.expect("served");
    }
    rate(bytes / MIB, began)
}
