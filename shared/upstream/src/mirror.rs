//! A server of documents that is no registry: a copy of a TUF repository, a checksum database.
//!
//! *Invariant:* no credential is ever sent to it: there is none to configure (threats.md P-20).
//!
//! *Invariant:* nothing is unpacked, so that it is known of every document how its end was told.

use bytes::Bytes;
use reqwest::StatusCode;
use url::Url;

use crate::{
    error::FetchError,
    guard::shown_origin,
    options::{AddressProblem, Limits, base_address},
    upstream::{MetadataDocument, MetadataReply, Packing, Upstream, Validators},
};

/// One configured server. Documents are asked of its origin only, and redirects off it are refused.
#[derive(Clone, Debug)]
pub struct Mirror(Upstream);

/// Why a mirror cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// Its address.
    #[error("{0}")]
    Address(AddressProblem),
    /// The HTTP client cannot be built; the system's certificates cannot be read, for instance.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// What a server says to a document that it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// 200.
    Taken(Bytes),
    /// 409: it has something that contradicts it.
    Conflict(Bytes),
}

impl Mirror {
    /// Checks the address, to which a missing trailing slash is added; sends nothing.
    pub fn new(url: &Url, limits: Limits) -> Result<Self, MirrorError> {
        let url = base_address(url).map_err(MirrorError::Address)?;
        Upstream::with((url.clone(), url), &[], limits, None, Packing::Plain)
            .map(Self)
            .map_err(MirrorError::Client)
    }

    /// The document at `path`, percent-encoded already and without leading slash, below the address; `None` if the server
    /// does not have it: 404, 410, and 403, which object stores answer for what they lack.
    pub async fn document(&self, path: &str, bytes_max: u64) -> Result<Option<Bytes>, FetchError> {
        match self.reply(path, bytes_max).await {
            Ok(document) => Ok(Some(document.body)),
            Err(FetchError::NotFound { .. } | FetchError::Status { status: 403, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same with all that is known of it; that the server does not have it is [`FetchError::NotFound`], for 404 and 410
    /// only.
    pub async fn reply(&self, path: &str, bytes_max: u64) -> Result<MetadataDocument, FetchError> {
        let url = self.0.index_url(path)?;
        match self.0.metadata_within(&url, "*/*", &Validators::default(), bytes_max).await? {
            MetadataReply::Document(document) => Ok(document),
            MetadataReply::NotModified => {
                Err(FetchError::Status { origin: shown_origin(&url), status: 304, retry_after: None })
            }
        }
    }

    /// Sends a document to `path`, once. Any other status than 200 and 409 is an error.
    pub async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: Bytes,
        bytes_max: u64,
    ) -> Result<Posted, FetchError> {
        let url = self.0.index_url(path)?;
        match self.0.post_once(&url, content_type, body, bytes_max).await? {
            (StatusCode::OK, body) => Ok(Posted::Taken(body)),
            (StatusCode::CONFLICT, body) => Ok(Posted::Conflict(body)),
            (other, _) => Err(FetchError::Status {
                origin: shown_origin(&url),
                status: other.as_u16(),
                retry_after: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testserver::{Reply, TestServer};

    async fn asked(server: &TestServer, bytes_max: u64) -> Result<Option<Vec<u8>>, String> {
        let limits = Limits { attempts_max: 1, metadata_bytes_max: 16, ..Limits::default() };
        let mirror = Mirror::new(&server.url("tuf"), limits).unwrap();
        let document = mirror.document("1.root.json", bytes_max).await;
        document
            .map(|found| found.map(|bytes| bytes.to_vec()))
            .map_err(|e| e.to_string().replace(&server.address.to_string(), "MIRROR"))
    }

    #[tokio::test]
    async fn a_document_comes_whole_and_without_credentials() {
        let server = TestServer::start(vec![Reply::new(200, &[], "root")]).await;
        assert_eq!(asked(&server, 4).await, Ok(Some(b"root".to_vec())));
        let requests = server.requests();
        assert!(requests[0].starts_with("get /tuf/1.root.json http/1.1"), "{requests:?}");
        assert!(!requests[0].contains("authorization") && !requests[0].contains("cookie"), "{requests:?}");
        assert!(requests[0].contains("accept-encoding: identity\r\n"), "{requests:?}");

        let large = Err("http://MIRROR sent more than 3 bytes".to_owned());
        assert_eq!(asked(&server, 3).await, large);
        let server = TestServer::start(vec![Reply::new(200, &["Content-Encoding: gzip"], "root")]).await;
        let packed = Err("http://MIRROR sent an unexpected or broken encoding: \"gzip\"".to_owned());
        assert_eq!(asked(&server, 9).await, packed);
        let server = TestServer::start(vec![Reply::new(200, &[], "seventeen bytes !")]).await;
        assert_eq!(asked(&server, 99).await, Err("http://MIRROR sent more than 16 bytes".to_owned()));
    }

    #[tokio::test]
    async fn what_it_lacks_is_none_and_what_fails_is_not() {
        for status in [403, 404, 410] {
            let server = TestServer::start(vec![Reply::new(status, &[], "no")]).await;
            assert_eq!(asked(&server, 9).await, Ok(None), "{status}");
        }
        let server = TestServer::start(vec![Reply::new(500, &[], "no")]).await;
        assert_eq!(asked(&server, 9).await, Err("http://MIRROR answered with status 500".to_owned()));
    }

    #[tokio::test]
    async fn a_reply_tells_what_is_not_there_from_what_is_refused() {
        let server = TestServer::start(vec![Reply::new(200, &["Content-Type: text/plain"], "note")]).await;
        let mirror = Mirror::new(&server.url("db"), Limits::default()).unwrap();
        let reply = mirror.reply("latest", 4).await.unwrap();
        assert_eq!((&reply.body[..], &reply.content_type[..]), (&b"note"[..], "text/plain"));
        assert_eq!(reply.url, server.url("db/latest"));

        for status in [403, 404, 410] {
            let server = TestServer::start(vec![Reply::new(status, &[], "no")]).await;
            let mirror = Mirror::new(&server.url("db"), Limits::default()).unwrap();
            let found = match mirror.reply("latest", 9).await.unwrap_err() {
                FetchError::NotFound { status, .. } => ("not found", status),
                FetchError::Status { status, .. } => ("status", status),
                other => panic!("{other}"),
            };
            assert_eq!(found, (if status == 403 { "status" } else { "not found" }, status));
        }
    }

    #[tokio::test]
    async fn a_conflict_is_an_answer_to_what_is_sent_and_to_nothing_else() {
        let posted = async |status| {
            let server = TestServer::start(vec![Reply::new(status, &[], "8")]).await;
            let mirror = Mirror::new(&server.url("log"), Limits::default()).unwrap();
            let posted = mirror.post("add-checkpoint", "text/plain", Bytes::from_static(b"old 9\n"), 4).await;
            assert!(server.requests()[0].starts_with("post /log/add-checkpoint http/1.1"));
            posted.map_err(|e| e.to_string().replace(&server.address.to_string(), "WITNESS"))
        };
        assert_eq!(posted(200).await, Ok(Posted::Taken(Bytes::from_static(b"8"))));
        assert_eq!(posted(409).await, Ok(Posted::Conflict(Bytes::from_static(b"8"))));
        assert_eq!(posted(403).await, Err("http://WITNESS answered with status 403".to_owned()));
        let server = TestServer::start(vec![Reply::new(409, &[], "8")]).await;
        assert_eq!(asked(&server, 9).await, Err("http://MIRROR answered with status 409".to_owned()));
    }

    #[tokio::test]
    async fn a_redirect_stays_on_the_origin() {
        let moved = vec![Reply::redirect("/elsewhere/1.root.json"), Reply::new(200, &[], "root")];
        let server = TestServer::start(moved).await;
        assert_eq!(asked(&server, 9).await, Ok(Some(b"root".to_vec())));

        let other = TestServer::start_on("127.0.0.2", vec![Reply::new(200, &[], "root")]).await;
        let server = TestServer::start(vec![Reply::redirect(other.url("1.root.json").as_str())]).await;
        let refused = asked(&server, 9).await.unwrap_err();
        assert!(refused.starts_with("refused to contact 127.0.0.2"), "{refused}");
        assert_eq!(other.connections(), 0);
    }

    #[test]
    fn an_address_that_is_not_safe_is_refused() {
        let made = |text: &str| {
            Mirror::new(&text.parse().unwrap(), Limits::default()).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(made("https://tuf.example/"), Ok(()));
        let refused = "must be https; http is for a loopback address or localhost only";
        assert_eq!(made("http://tuf.example/"), Err(refused.to_owned()));
        let refused = "must not carry a user name or password; configure a token instead";
        assert_eq!(made("https://me@tuf.example/"), Err(refused.to_owned()));
    }
}
