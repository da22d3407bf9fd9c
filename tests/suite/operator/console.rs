//! The console's API.

use std::fs;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use touchstone_testkit::{Fault, MirrorProcesses, Registry, Role, eventually, npm_package};

use super::{http, said};
use crate::{custody::world::Owner, metadata::header};

const TOKEN: &str = "correct-horse-battery-staple";

/// One console, asked with or without a token.
struct Asker<'a> {
    mirror: &'a MirrorProcesses,
    token: Option<&'a str>,
}

impl Asker<'_> {
    async fn send(&self, method: Method, path: &str, body: &str) -> Response {
        let url = self.mirror.console.join(path).expect("a path");
        let mut request =
            http().request(method, url).body(body.to_owned()).header("content-type", "application/json");
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, "").await;
        assert_eq!(answer.status(), 200, "{path}");
        serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
    }

    /// Asserts that the answer is problem details with this status and detail.
    async fn problem(&self, method: Method, path: &str, body: &str, status: u16, detail: &str) {
        let answer = self.send(method, path, body).await;
        assert_eq!(answer.status(), status, "{path} {body}");
        assert_eq!(header(&answer, "content-type"), "application/problem+json", "{path} {body}");
        let problem: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{problem}");
        assert!(
            problem["detail"].as_str().is_some_and(|found| found.contains(detail)),
            "{detail}: {problem}"
        );
    }
}

async fn ready(mirror: &MirrorProcesses) {
    eventually("the console is ready", || async {
        let answer = http().get(mirror.console.join("readyz").expect("a path")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_reading_is_open_and_every_error_is_problem_details() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.3.0", &[], 10);
    registry.publish(package.clone());
    let mirror = MirrorProcesses::start(&registry).await;
    ready(&mirror).await;
    let url = mirror.url.join("npm/left-pad/-/left-pad-1.3.0.tgz").expect("a path");
    registry.fault(&package.file, Fault::Tamper);
    assert_eq!(http().get(url.clone()).send().await.expect("an answer").status(), 502);
    registry.honest();
    assert_eq!(http().get(url).send().await.expect("an answer").status(), 200);

    let open = Asker { mirror: &mirror, token: None };
    let incidents = open.get("api/v1/incidents").await;
    let incident = &incidents["incidents"][0];
    assert_eq!((&incident["kind"], &incident["package"]), (&json!("upstream_mismatch"), &json!("left-pad")));
    assert_eq!((&incident["version"], &incident["count"]), (&json!("1.3.0"), &json!(1)));
    assert_eq!(open.get("api/v1/dead-letters").await, json!({ "dead_letters": [] }));
    let summary = open.get("api/v1/summary").await;
    assert_eq!(summary["artifacts"], json!([{ "ecosystem": "npm", "state": "servable", "number": 1 }]));
    assert_eq!((&summary["incidents"], &summary["dead_letters"]), (&json!(1), &json!(0)));
    assert_eq!(open.get("api/v1/policy").await["document"], "");
    let openapi = open.get("api/v1/openapi.json").await;
    for path in openapi["paths"].as_object().expect("paths").keys() {
        let answer = open.send(Method::GET, path, "").await;
        assert_ne!(answer.status(), 404, "{path}");
    }
    for path in ["healthz", "readyz", ""] {
        assert_eq!(open.send(Method::GET, path, "").await.status(), 200, "{path}");
    }

    let recall = r#"{"purl":"pkg:npm/left-pad@1.3.0","reason":"malware"}"#;
    for (method, path, body, status, detail) in [
        (Method::GET, "api/v1/artifacts", "", 400, "purl"),
        (
            Method::GET,
            "api/v1/artifacts?purl=left-pad",
            "",
            400,
            "not a package URL such as pkg:npm/left-pad@1.3.0",
        ),
        (Method::GET, "api/v1/artifacts?purl=pkg:maven/a/b@1", "", 400, "maven"),
        (Method::GET, "api/v1/artifacts?purl=pkg:pypi/a@not-a-version", "", 400, "a PEP 440 version"),
        (Method::GET, "api/v1/nothing", "", 404, "/api/v1/openapi.json lists the paths"),
        (Method::GET, "nothing", "", 404, "/api/v1/openapi.json lists the paths"),
        (Method::DELETE, "api/v1/artifacts", "", 405, "lists the methods of each path"),
        (Method::POST, "api/v1/recalls", recall, 403, "set [console] token_file in touchstone.toml"),
    ] {
        open.problem(method, path, body, status, detail).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_everything_asks_for_it_and_recalls_are_taken() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    let mut mirror = MirrorProcesses::start(&registry).await;
    let text = fs::read_to_string(&mirror.config).expect("read");
    let text = text.replace("[console]\n", "[console]\ntoken_file = \"token\"\n");
    fs::write(&mirror.config, text).expect("written");
    fs::write(mirror.config.with_file_name("token"), format!("{TOKEN}\n")).expect("written");
    mirror.kill(Role::Console);
    mirror.spawn(Role::Console);
    ready(&mirror).await;
    let url = mirror.url.join("npm/left-pad/-/left-pad-1.3.0.tgz").expect("a path");
    assert_eq!(http().get(url.clone()).send().await.expect("an answer").status(), 200);

    let purl = "api/v1/artifacts?purl=pkg:npm/left-pad@1.3.0";
    let recall = r#"{"purl":"pkg:npm/left-pad@1.3.0","reason":"malware"}"#;
    for token in [None, Some("correct-horse-battery-stapl"), Some("")] {
        let asker = Asker { mirror: &mirror, token };
        for path in
            [purl, "metrics", "api/v1/summary", "api/v1/incidents", "api/v1/dead-letters", "api/v1/policy"]
        {
            asker.problem(Method::GET, path, "", 401, "send `Authorization: Bearer TOKEN`").await;
        }
        asker
            .problem(Method::POST, "api/v1/recalls", recall, 401, "send `Authorization: Bearer TOKEN`")
            .await;
        assert_eq!(asker.send(Method::GET, "healthz", "").await.status(), 200);
    }
    assert_eq!(http().get(url.clone()).send().await.expect("an answer").status(), 200);

    let operator = Asker { mirror: &mirror, token: Some(TOKEN) };
    assert_eq!(operator.get(purl).await["artifacts"][0]["state"], "servable");
    for (body, status, detail) in [
        ("{}", 400, "missing field `reason`"),
        (r#"{"purl":"pkg:npm/left-pad","reason":" "}"#, 400, "give a reason of at most 1000 bytes"),
        (r#"{"reason":"x"}"#, 400, "give either `purl` or `sha256`"),
        (r#"{"sha256":"AB","reason":"x"}"#, 400, "sha256: "),
        (r#"{"purl":"pkg:npm/left-pad","reason":"x","force":true}"#, 400, "unknown field `force`"),
    ] {
        operator.problem(Method::POST, "api/v1/recalls", body, status, detail).await;
    }
    let owner = Owner::at(&mirror.servers.postgres.url()).await;
    owner.run("ALTER TABLE gate ADD CONSTRAINT locked CHECK (hold = 0)").await;
    let on_record =
        "the recall is on record, but what it names may not be held yet; promote's sweeper holds it";
    operator.problem(Method::POST, "api/v1/recalls", recall, 503, on_record).await;
    owner.run("ALTER TABLE gate DROP CONSTRAINT locked").await;
    let answer = operator.send(Method::POST, "api/v1/recalls", recall).await;
    assert_eq!(answer.status(), 201);
    let body: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    assert_eq!(body["revoked"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["revoked_is_complete"], true);
    let index = body["log_index"].as_u64().expect("it is sealed");
    assert_eq!(body["log"], format!("it is entry {index} of the transparency log, which edges follow"));
    assert_eq!(http().get(url).send().await.expect("an answer").status(), 403);
    let artifact = &operator.get(purl).await["artifacts"][0];
    assert_eq!((&artifact["state"], &artifact["reason"]), (&json!("revoked"), &json!("malware")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_dead_letters_show_what_was_given_up() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    let mirror = MirrorProcesses::start(&registry).await;
    ready(&mirror).await;
    let url = mirror.url.join("npm/left-pad/-/left-pad-1.3.0.tgz").expect("a path");
    assert_eq!(http().get(url).send().await.expect("an answer").status(), 200);
    let address = mirror.servers.nats.url();
    let mut nats = TcpStream::connect(address.trim_start_matches("nats://")).await.expect("connected");
    let message = "CONNECT {\"verbose\":false,\"user\":\"operator\",\"pass\":\"operator\"}\r\nPUB touchstone.v1.artifact-fetched.cargo 6\r\npoison\r\nPING\r\n";
    nats.write_all(message.as_bytes()).await.expect("sent");
    let mut said_back = vec![0; 4096];
    while !String::from_utf8_lossy(&said_back).contains("PONG") {
        assert!(nats.read(&mut said_back).await.expect("an answer") > 0);
    }

    let open = Asker { mirror: &mirror, token: None };
    let letter = eventually("a dead letter", || async {
        let letters = open.get("api/v1/dead-letters").await;
        letters["dead_letters"].get(0).cloned()
    })
    .await;
    assert_eq!(
        (&letter["stream"], &letter["consumer"], &letter["check"]),
        (&json!("LIVE"), &json!("hash"), &json!("hash"))
    );
    assert_eq!((&letter["artifact"], &letter["resolved_at"]), (&Value::Null, &Value::Null));
    assert_eq!(letter["detail"], "JetStream gave the message up: Terminated");

    let answer = open.send(Method::GET, "metrics", "").await;
    assert_eq!(header(&answer, "content-type"), "text/plain; version=0.0.4");
    let metrics = answer.text().await.expect("a body");
    for line in [
        "touchstone_artifacts{ecosystem=\"npm\",state=\"servable\"} 1",
        "touchstone_oldest_pending_seconds 0",
        "touchstone_stuck_artifacts 0",
        "touchstone_open_dead_letters 1",
        "touchstone_open_incidents 0",
        "touchstone_database_up 1",
        // Another process uses trust, and says so.
        "touchstone_trust_usable 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    assert!(metrics.contains("\ntouchstone_oldest_unsealed_seconds "), "{metrics}");
    let (code, report, _) = said(mirror.command(&["doctor"]));
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("1 artifact(s), 0 stuck, 1 dead letter(s), 0 open incident(s)"), "{report}");

    mirror.servers.postgres.stop().await;
    let answer = open.send(Method::GET, "metrics", "").await;
    assert_eq!(answer.status(), 200, "what the process itself counted is there without a database");
    let metrics = answer.text().await.expect("a body");
    assert!(metrics.lines().any(|found| found == "touchstone_database_up 0"), "{metrics}");
}
