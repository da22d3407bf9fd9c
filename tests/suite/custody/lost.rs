//! A serve record that is lost, or damaged on disk: promoted anew, and served again.

use std::{fs, time::Duration};

use touchstone_testkit::{Registry, TestMirror, eventually, npm_package};

use super::world::{Owner, Refused, path};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lost_its_record_is_served_again_by_a_new_one() {
    let registry = Registry::start().await;
    let [gone, damaged] = ["gone", "damaged"].map(|name| npm_package(name, "1.0.0", &[], 10));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let owner = Owner::of(&mirror).await;
    for package in [&gone, &damaged] {
        registry.publish(package.clone());
        assert_eq!(mirror.get(&path(package)).await.status(), 200, "{}", package.file);
        let sql = "SELECT encode(pack, 'hex') FROM promotion ORDER BY serial DESC LIMIT 1";
        let pack = owner.text(sql).await;
        let file = mirror.blobs_dir.join("packs").join(&pack[..2]).join(&pack);
        let mut bytes = fs::read(&file).expect("a pack");
        fs::remove_file(&file).expect("removed");
        if package.file == damaged.file {
            bytes[40] ^= 1;
            fs::write(&file, bytes).expect("written");
        }
    }

    // an edge that has not read the records before
    let edge = TestMirror::builder().beside(&mirror).registry(&registry).hold(Duration::from_millis(300));
    let edge = edge.promoters(0).hash_workers(0).attest_workers(0).sumdb_workers(0).start().await;
    for (package, detail) in [(&gone, "the envelope is missing"), (&damaged, "the envelope is damaged")] {
        let refused = Refused::of(edge.get(&path(package)).await).await;
        refused.says(503, "unavailable", "Serve record cannot be read, try again shortly", detail);
    }
    for package in [&gone, &damaged] {
        eventually(&format!("{} is served again", package.file), || async {
            (edge.get(&path(package)).await.status() == 200).then_some(())
        })
        .await;
    }
    assert_eq!(owner.number("SELECT count(*) FROM promotion WHERE epoch = 1").await, 2);
    assert_eq!(owner.number("SELECT count(*) FROM promotion").await, 4);
}
