//! How much memory large files and slow readers cost.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use touchstone_testkit::{Role, npm_package};

use crate::{say, world::World};

const SMALL: usize = 10_000_000;
const LARGE: usize = 1_000_000_000;
const READERS: usize = 1000;
const READ_SIZE: usize = 100_000_000;

/// A file of 10 MB and one of 1 GB, each through fresh processes: fetched, checked, served, and served again.
pub(crate) async fn of_large_files() {
    let mut peaks = Vec::new();
    for (size, name) in [(SMALL, "10 MB"), (LARGE, "1 GB")] {
        let world = World::start().await;
        let package = npm_package("large", "1.0.0", &[], size);
        let (path, length) = (World::path(&package), package.bytes.len() as u64);
        world.registry.publish(package);
        assert_eq!(world.fetch(&path).await, length, "cold");
        assert_eq!(world.fetch(&path).await, length, "warm");
        let edge = world.peak(Role::Edge);
        let hash = world.peak(Role::Hash(0)).max(world.peak(Role::Hash(1)));
        say(
            &format!("peak memory, {name} cold and warm"),
            &format!("edge {edge} MiB, hash {hash} MiB"),
            "flat",
        );
        peaks.push((edge, hash));
    }
    let ratio = |large: u64, small: u64| format!("{:.2}", f64_of(large) / f64_of(small));
    let [(edge_small, hash_small), (edge_large, hash_large)] = peaks[..] else { return };
    let figure = format!("edge {}x, hash {}x", ratio(edge_large, edge_small), ratio(hash_large, hash_small));
    say("peak memory, 1 GB / 10 MB", &figure, "about 1x");
}

/// Clients that have asked for a large file and take nothing of it.
pub(crate) async fn under_slow_readers() {
    let world = World::start().await;
    let package = npm_package("slow", "1.0.0", &[], READ_SIZE);
    let path = World::path(&package);
    world.registry.publish(package);
    world.fetch(&path).await;
    let before = world.peak(Role::Edge);
    let mut readers = Vec::with_capacity(READERS);
    for _ in 0..READERS {
        let mut stream = TcpStream::connect(world.edge()).expect("connected");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        readers.push(stream);
    }
    let mut byte = [0];
    for reader in &mut readers {
        reader.read_exact(&mut byte).expect("each is being answered");
    }
    let figure = format!("{} MiB, before {before} MiB", world.peak(Role::Edge));
    say("edge memory under 1,000 slow readers", &figure, "<= 256 MiB");
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn f64_of(number: u64) -> f64 {
    number as f64
}
