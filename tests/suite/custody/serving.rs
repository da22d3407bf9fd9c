//! Rows that whoever owns the database has written.

use serde_json::Value;
use touchstone_custody::{KeyKind, Signer as _, sign};
use touchstone_domain::EnvelopeRef;
use touchstone_records::RecordStore;
use touchstone_runtime::SystemClock;
use touchstone_store::RecallTarget;
use touchstone_testkit::{Module, Package, TestMirror, custody, eventually, npm_package};

use super::world::{Owner, Refused, World, id, path, row};

/// Statements about `$ID`, an artifact that was promoted in epoch 0, and `$OTHER`, another one; then the field that must be named, and
/// what is said of it.
const FORGED: &[(&str, &str, &str, &str)] = &[
    (
        "transplanted",
        "DELETE FROM promotion WHERE artifact_id = $ID;
         INSERT INTO promotion OVERRIDING SYSTEM VALUE
         SELECT (jsonb_populate_record(p, jsonb_build_object('artifact_id', $ID, 'serial', 1000,
             'sha256', a.sha256, 'size', a.size, 'chunk_root', a.chunk_root))).*
         FROM promotion p, artifact a WHERE p.artifact_id = $OTHER AND a.id = $ID",
        "purl",
        "the serve record says purl pkg:npm/other@1.0.0?file_name=other-1.0.0.tgz, and ",
    ),
    (
        "swapped",
        "UPDATE artifact a SET sha256 = o.sha256, sha512 = o.sha512, size = o.size, chunks = o.chunks, chunk_root = o.chunk_root
         FROM artifact o WHERE a.id = $ID AND o.id = $OTHER;
         UPDATE promotion p SET sha256 = o.sha256, size = o.size, chunk_root = o.chunk_root
         FROM promotion o WHERE p.artifact_id = $ID AND o.artifact_id = $OTHER",
        "sha256",
        "the serve record says sha256 ",
    ),
    (
        "swapped-whole",
        "UPDATE artifact a SET sha256 = o.sha256, sha512 = o.sha512, size = o.size, chunks = o.chunks, chunk_root = o.chunk_root
         FROM artifact o WHERE a.id = $ID AND o.id = $OTHER;
         UPDATE promotion p SET sha256 = o.sha256, size = o.size, chunk_root = o.chunk_root, key = o.key, envelope = o.envelope,
             pack = o.pack, pack_offset = o.pack_offset, pack_size = o.pack_size
         FROM promotion o WHERE p.artifact_id = $ID AND o.artifact_id = $OTHER",
        "purl",
        "the serve record says purl pkg:npm/other@1.0.0?file_name=other-1.0.0.tgz, and ",
    ),
    (
        "digest",
        "UPDATE artifact SET sha512 = decode(repeat('00', 64), 'hex') WHERE id = $ID",
        "sha512",
        "and 00000000000000000000",
    ),
    (
        "longer",
        "UPDATE artifact SET size = size + 1 WHERE id = $ID; UPDATE promotion SET size = size + 1 WHERE artifact_id = $ID",
        "size",
        "the serve record says size ",
    ),
    (
        "rooted",
        "UPDATE artifact SET chunk_root = decode(repeat('00', 32), 'hex') WHERE id = $ID;
         UPDATE promotion SET chunk_root = decode(repeat('00', 32), 'hex') WHERE artifact_id = $ID",
        "chunk_root",
        "and 0000000000000000000000000000000000000000000000000000000000000000 is expected",
    ),
    (
        "chunked",
        "UPDATE artifact SET chunks = decode(repeat('00', 32), 'hex') WHERE id = $ID",
        "chunks",
        "the chunk list has the root ",
    ),
    (
        "renumbered",
        "INSERT INTO promotion OVERRIDING SYSTEM VALUE
         SELECT (jsonb_populate_record(p, '{\"serial\": 2000, \"epoch\": 99}')).* FROM promotion p WHERE p.artifact_id = $ID;
         DELETE FROM promotion WHERE artifact_id = $ID AND epoch = 0;
         UPDATE promotion SET epoch = 0 WHERE artifact_id = $ID",
        "serial",
        "and 2000 is expected",
    ),
    (
        "later",
        "UPDATE gate SET epoch = 7 WHERE artifact_id = $ID; UPDATE promotion SET epoch = 7 WHERE artifact_id = $ID",
        "epoch",
        "the serve record says epoch 0, and 7 is expected",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_not_what_was_signed_serve_nothing_and_the_field_is_named() {
    let (other, neighbour) = (npm("other", 500), npm("neighbour", 10));
    let forged: Vec<Package> = FORGED.iter().map(|(name, ..)| npm(name, 100)).collect();
    let packages: Vec<&Package> = forged.iter().chain([&other, &neighbour]).collect();
    let world = World::start(&packages, async |_, _| ()).await;
    let other_row = row(&world.owner, &other).await.to_string();
    for (package, (name, sql, field, detail)) in forged.iter().zip(FORGED) {
        world.assert_served(package).await;
        let own_row = row(&world.owner, package).await.to_string();
        world.owner.run(&sql.replace("$ID", &own_row).replace("$OTHER", &other_row)).await;
        let title = format!("Serve record refused ({field}), tell the operators");
        world.refused(package).await.says(403, "unproven", &title, detail);
        let ranged = world.edge.request(&path(package)).header("range", "bytes=0-3").send().await;
        assert_eq!(ranged.expect("an answer").status(), 403, "{name}");
        assert_eq!(incident(&world.edge, package, "serve_record_refused").await["field"], **field);
        world.assert_served(&neighbour).await;
        world.assert_served(&other).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_that_say_servable_serve_nothing_without_a_promotion() {
    let honest = npm("honest", 10);
    let pending = npm("pending", 20);
    let mut rejected = npm("rejected", 30);
    rejected.bytes = npm("another", 30).bytes;
    let refused_first = rejected.clone();
    let world = World::start(&[&honest], async |mirror, registry| {
        registry.publish(refused_first.clone());
        let refused = Refused::of(mirror.get(&path(&refused_first)).await).await;
        assert_eq!((refused.status, refused.code.as_str()), (403, "rejected"), "{refused:?}");
    })
    .await;
    world.registry.publish(pending.clone());
    assert_eq!(world.refused(&pending).await.code, "pending");
    for (package, more) in [
        (&pending, ""),
        // The verdict that failed it is deleted too.
        (&rejected, "DELETE FROM verdict WHERE outcome = 'fail' AND artifact_id = $ID"),
    ] {
        let own_row = row(&world.owner, package).await.to_string();
        let flip =
            "UPDATE gate SET ok = required, deny = 0, undecided = 0, hold = 0 WHERE artifact_id = $ID;";
        world.owner.run(&format!("{flip}{more}").replace("$ID", &own_row)).await;
        // As after an upgrade, until promote has sent it back to its checks: nothing is wrong, and nothing is served.
        let unsigned = format!("UPDATE gate SET unsigned = true WHERE artifact_id = {own_row}");
        world.owner.run(&unsigned).await;
        let title = "Verification is running, try again shortly";
        world.refused(package).await.says(503, "pending", title, "is being verified");
        let alarms = "SELECT count(*) FROM incident WHERE kind = 'gate_without_record' AND artifact_id = ";
        assert_eq!(world.owner.number(&format!("{alarms}{own_row}")).await, 0);
        world.owner.run(&unsigned.replace("true", "false")).await;
        world.refused(package).await.says(
            503,
            "unavailable",
            "Serve record does not count (promotion), try again shortly",
            "there is no signed promotion of its epoch 0",
        );
        incident(&world.edge, package, "gate_without_record").await;
        world.assert_served(&honest).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_an_epoch_that_ended_and_one_of_what_was_recalled_serve_nothing_by_the_log() {
    let [honest, again, recalled] = ["honest", "again", "recalled"].map(|name| npm(name, 10));
    let world = World::start(&[&honest, &again, &recalled], async |mirror, _| {
        let policy = touchstone_domain::Policy::default();
        let all = mirror.store.recheck(&"pkg:npm/again".parse().expect("a purl"), &policy, true).await;
        assert_eq!(all.expect("rechecked").len(), 1);
        eventually("it is promoted again", || async {
            (mirror.get(&path(&again)).await.status() == 200).then_some(())
        })
        .await;
        let target = RecallTarget::Purl("pkg:npm/recalled@1.0.0".parse().expect("a purl"));
        mirror.store.recall(&target, "malware", "test").await.expect("recalled");
    })
    .await;
    world.assert_served(&again).await;
    let (again_row, recalled_row) = (row(&world.owner, &again).await, row(&world.owner, &recalled).await);
    world.owner.run(&format!("UPDATE gate SET epoch = 0 WHERE artifact_id = {again_row}")).await;
    let (title, detail) = ("Serve record refused (epoch), tell the operators", "says that epoch 0 ended (");
    world.refused(&again).await.says(403, "unproven", title, detail);
    world.owner.run(&format!("UPDATE gate SET epoch = 1 WHERE artifact_id = {again_row}")).await;
    world.assert_served(&again).await;

    let title = "Recalled by the mirror's operators";
    world.refused(&recalled).await.says(403, "revoked", title, "was recalled: malware");
    let clear = format!("DELETE FROM recall; UPDATE gate SET hold = 0 WHERE artifact_id = {recalled_row}");
    world.owner.run(&clear).await;
    world.refused(&recalled).await.says(403, "revoked", title, "the transparency log has a recall: malware");
    assert_eq!(incident(&world.edge, &recalled, "serve_record_refused").await["field"], "recall");
    world.assert_served(&honest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_another_installation_by_another_key_or_out_of_reach_serve_nothing() {
    let packages = ["honest", "foreign", "by-hash", "by-stranger", "verdict", "damaged", "lost"]
        .map(|name| npm(name, 10));
    let [honest, foreign, by_hash, by_stranger, verdict, damaged, lost] = &packages;
    let world = World::start(&packages.each_ref(), async |_, _| ()).await;
    let promote = custody::signer(KeyKind::Promote, KEYS);
    let unproven = |field: &str| format!("Serve record refused ({field}), tell the operators");

    // The same payload again, so that it is the change that is refused, and not the way it was made.
    let payload = payload(&world.edge, foreign).await;
    put(&world, foreign, &sign(&promote, payload.as_bytes()).expect("signed")).await;
    world.assert_served(foreign).await;
    let elsewhere = payload
        .replace("touchstone/test", "touchstone/other")
        .replace(r#""environment":"test""#, r#""environment":"other""#);
    put(&world, foreign, &sign(&promote, elsewhere.as_bytes()).expect("signed")).await;
    let detail = "the serve record says environment other, and test is expected";
    world.refused(foreign).await.says(403, "unproven", &unproven("environment"), detail);

    let own = payload_of(&world, by_hash).await;
    put(&world, by_hash, &sign(&custody::signer(KeyKind::Hash, KEYS), own.as_bytes()).expect("signed")).await;
    let detail = "signs for hash, not for promote";
    world.refused(by_hash).await.says(403, "unproven", &unproven("key_kind"), detail);
    let own = payload_of(&world, by_stranger).await;
    let stranger = custody::signer(KeyKind::Promote, KEYS + 1);
    put(&world, by_stranger, &sign(&stranger, own.as_bytes()).expect("signed")).await;
    let title = "Serve record does not count (key_unknown), try again shortly";
    let detail = format!("the key {} is not in the key ring", stranger.key_id());
    world.refused(by_stranger).await.says(503, "unavailable", title, &detail);

    let from_verdict = "UPDATE promotion p SET key = v.key, envelope = v.envelope, pack = v.pack, pack_offset = v.pack_offset,
        pack_size = v.pack_size FROM verdict v WHERE v.artifact_id = p.artifact_id AND p.artifact_id = ";
    world.owner.run(&format!("{from_verdict}{}", row(&world.owner, verdict).await)).await;
    world.refused(verdict).await.says(403, "unproven", &unproven("statement"), "of the statement is refused");

    let missing = "Serve record cannot be read, try again shortly";
    for (package, change, detail) in [
        (damaged, "envelope = decode(repeat('00', 32), 'hex')", "the envelope is damaged"),
        (
            lost,
            "pack = decode(repeat('00', 32), 'hex'), envelope = decode(repeat('11', 32), 'hex')",
            "the envelope is missing",
        ),
    ] {
        let own_row = row(&world.owner, package).await;
        world.owner.run(&format!("UPDATE promotion SET {change} WHERE artifact_id = {own_row}")).await;
        world.refused(package).await.says(503, "unavailable", missing, detail);
        incident(&world.edge, package, "record_missing").await;
    }
    world.assert_served(honest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_ends_what_rests_on_it_by_the_ring_of_the_edge_alone() {
    const MODULE: &str = "go/code.example/m/@v/v1.0.0.mod";
    let package = npm("package", 10);
    for (kind, field) in [
        (KeyKind::Promote, "key_revoked"),
        (KeyKind::Fetch, "key"),
        (KeyKind::Hash, "key"),
        (KeyKind::Attest, "key"),
        (KeyKind::Sumdb, "key"),
    ] {
        let world = World::start(&[&package], async |mirror, registry| {
            registry.publish_module(Module::new("code.example/m", "v1.0.0"));
            assert_eq!(mirror.get(MODULE).await.status(), 200);
        })
        .await;
        let gates = "SELECT count(*) FROM gate WHERE servable";
        let before = world.owner.number(gates).await;
        let keys = &world.edge.keys;
        keys.revoke(
            touchstone_domain::KeyId::from_slice(&[7; 32]).expect("a number"),
            "another",
            &SystemClock,
        );
        world.assert_served(&package).await;
        assert_eq!(world.edge.get(MODULE).await.status(), 200);
        keys.revoke(keys.id(kind), "stolen", &SystemClock);
        // attest is asked about no module, and sumdb about nothing else
        for (asks, path) in
            [(kind != KeyKind::Sumdb, path(&package)), (kind != KeyKind::Attest, MODULE.into())]
        {
            let answer = world.edge.get(&path).await;
            if !asks {
                assert_eq!(answer.status(), 200, "{kind}: {path} does not rest on it");
                continue;
            }
            let title = format!("Serve record does not count ({field}), try again shortly");
            let refused = Refused::of(answer).await;
            refused.says(503, "unavailable", &title, &keys.id(kind).to_string());
            assert!(refused.body.contains("stolen"), "{refused:?}");
        }
        assert_eq!(world.owner.number(gates).await, before, "the database does not know");
    }
}

/// The number of the keys that mirrors have.
const KEYS: u8 = 0;

fn npm(name: &str, filler: usize) -> Package {
    npm_package(name, "1.0.0", &[], filler)
}

/// The facts of the latest incident of this kind about a package.
async fn incident(mirror: &TestMirror, package: &Package, kind: &str) -> Value {
    eventually("the incident is on record", || async {
        let incidents = mirror.store.latest_incidents(100).await.expect("incidents");
        let about = |i: &&touchstone_store::Incident| i.kind == kind && i.package.as_str() == package.name;
        incidents.iter().find(about).map(|incident| incident.detail.clone())
    })
    .await
}

/// What was signed in the serve record of a package.
async fn payload(mirror: &TestMirror, package: &Package) -> String {
    let row = mirror.store.serve_record(&id(package)).await.expect("read").expect("promoted");
    let records = RecordStore::new(mirror.blobs.clone());
    let envelope = records.read(&[row.signed.envelope]).await.pop().expect("one").expect("there");
    let payload = touchstone_custody::Envelope::parse(&envelope).expect("an envelope").payload;
    String::from_utf8(payload).expect("JSON")
}

async fn payload_of(world: &World, package: &Package) -> String {
    payload(&world.edge, package).await
}

/// Has the promotion of a package name this envelope.
async fn put(world: &World, package: &Package, envelope: &[u8]) {
    let key = touchstone_custody::Envelope::parse(envelope).expect("an envelope").key;
    let records = RecordStore::new(world.edge.blobs.clone());
    let placed = records.put(&[envelope.to_vec()]).await.expect("stored");
    let EnvelopeRef { sha256, pack, offset, size } = placed[0];
    let own_row = row(&world.owner, package).await;
    let hex = |digest: &dyn std::fmt::Display| format!("decode('{digest}', 'hex')");
    let (key, sha256, pack) = (hex(&key), hex(&sha256), hex(&pack));
    let sql = format!(
        "UPDATE promotion SET key = {key}, envelope = {sha256}, pack = {pack}, pack_offset = {offset}, pack_size = {size} \
         WHERE artifact_id = {own_row}"
    );
    Owner::run(&world.owner, &sql).await;
}
