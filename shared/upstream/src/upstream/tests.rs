//! Conversations with scripted servers, all of them on loopback addresses.

mod artifacts;
mod documents;
mod egress;

use std::time::Duration;

use touchstone_domain::Ecosystem;

use super::*;
use crate::{
    options::Secret,
    testserver::{Reply, TestServer},
};

const ANY: &str = "*/*";

fn options(server: &TestServer) -> UpstreamOptions {
    UpstreamOptions {
        ecosystem: Ecosystem::Npm,
        url: server.url("registry/"),
        attestations_url: None,
        file_hosts: vec![],
        limits: Limits { attempts_max: 1, ..Limits::default() },
        bearer: None,
    }
}

fn upstream(server: &TestServer) -> Upstream {
    Upstream::new(options(server)).unwrap()
}

fn with_file_host(server: &TestServer, files: &TestServer) -> UpstreamOptions {
    UpstreamOptions {
        file_hosts: vec![files.url("")],
        bearer: Some(Secret::new("hunter2")),
        ..options(server)
    }
}

fn limited(server: &TestServer, change: impl FnOnce(&mut Limits)) -> Upstream {
    let mut options = options(server);
    change(&mut options.limits);
    Upstream::new(options).unwrap()
}

/// Soon out of patience.
fn impatient(server: &TestServer) -> Upstream {
    limited(server, |limits| limits.read_timeout = Duration::from_millis(500))
}

fn attempts(server: &TestServer, attempts_max: usize) -> Upstream {
    limited(server, |limits| limits.attempts_max = attempts_max)
}

/// Asks for the document at `registry/name`.
async fn document(upstream: &Upstream) -> Result<MetadataDocument, FetchError> {
    let url = upstream.index_url("name").unwrap();
    match upstream.metadata(&url, ANY, &Validators::default()).await? {
        MetadataReply::Document(document) => Ok(document),
        MetadataReply::NotModified => panic!("nothing was asked conditionally"),
    }
}

/// Fetches a whole artifact; the length is the announced one.
async fn artifact(upstream: &Upstream, link: &str) -> Result<(Option<u64>, Vec<u8>), FetchError> {
    let mut body = upstream.artifact(&upstream.0.url, link).await?;
    let mut bytes = vec![];
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
    }
    assert!(body.next().await.is_none(), "the end is the end");
    Ok((body.length, bytes))
}

/// Everything that could reach a log or a person.
fn all_words(error: &FetchError) -> String {
    format!(
        "{error} {error:?} {}",
        std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
    )
}
