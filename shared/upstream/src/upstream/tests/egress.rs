use super::*;
use crate::{guard::EgressRefusal, range::SpecialRange};

fn loopback(server: &TestServer) -> EgressRefusal {
    EgressRefusal::Address { address: server.address.ip(), range: SpecialRange::Loopback }
}

fn refusal(result: Result<impl std::fmt::Debug, FetchError>) -> EgressRefusal {
    match result.unwrap_err() {
        FetchError::Egress(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn plain() -> Url {
    Url::parse("http://registry.example/").unwrap()
}

#[tokio::test]
async fn a_redirect_to_another_origin_is_refused_unless_it_is_a_file_host() {
    let other = TestServer::start_on("127.0.0.2", vec![Reply::new(200, &[], "bytes")]).await;
    let location = other.url("signed/a.tgz?token=hunter2").to_string();
    let server = TestServer::start(vec![Reply::redirect(&location)]).await;
    let strict = upstream(&server);
    let error = artifact(&strict, "a.tgz").await.unwrap_err();
    for secret in ["hunter2", "signed"] {
        assert!(!all_words(&error).contains(secret), "{error:?}");
    }
    assert_eq!(refusal(Err::<(), _>(error)), loopback(&other));
    assert_eq!(refusal(document(&strict).await), loopback(&other));
    assert_eq!(other.connections(), 0, "nothing was dialled");

    let upstream = Upstream::new(with_file_host(&server, &other)).unwrap();
    let body = upstream.artifact(&upstream.0.url, "a.tgz").await.unwrap();
    assert_eq!(body.url, other.url("signed/a.tgz"), "the signed query stays out of records");
    assert!(other.requests()[0].starts_with("get /signed/a.tgz?token=hunter2 "));
}

#[tokio::test]
async fn redirects_to_special_addresses_are_refused() {
    use SpecialRange::*;
    for (location, address, range) in [
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254", LinkLocal),
        ("//2852039166/", "169.254.169.254", LinkLocal),
        ("http://0x7f.1/", "127.0.0.1", Loopback),
        ("http://[::1]/", "::1", Loopback),
        ("http://0.0.0.0/", "0.0.0.0", Unspecified),
        ("http://100.64.0.1/", "100.64.0.1", Shared),
        ("http://[fd00::1]/", "fd00::1", Private),
    ] {
        let server = TestServer::start(vec![Reply::redirect(location)]).await;
        let address = address.parse().unwrap();
        let expected = EgressRefusal::Address { address, range };
        assert_eq!(refusal(document(&upstream(&server)).await), expected, "{location}");
    }
    let server = TestServer::start(vec![Reply::redirect("file:///etc/passwd")]).await;
    assert_eq!(
        refusal(document(&upstream(&server)).await),
        EgressRefusal::Scheme { scheme: "file".to_owned() }
    );
    let server = TestServer::start(vec![Reply::redirect("http://[fe80::1%25eth0]/")]).await;
    assert!(matches!(document(&upstream(&server)).await, Err(FetchError::Redirects { .. })));
}

#[tokio::test]
async fn links_go_to_the_registry_or_a_file_host_only() {
    let other = TestServer::start_on("127.0.0.2", vec![Reply::new(200, &[], "bytes")]).await;
    let server = TestServer::start(vec![Reply::new(200, &[], "bytes")]).await;
    let link = other.url("a.tgz").to_string();
    assert_eq!(refusal(artifact(&upstream(&server), &link).await), loopback(&other));
    let userinfo = format!("http://user:hunter2@{}/a.tgz", server.address);
    let refused = refusal(artifact(&upstream(&server), &userinfo).await);
    assert_eq!(refused, EgressRefusal::Userinfo { origin: format!("http://{}", server.address) });
    let attestations = UpstreamOptions { attestations_url: Some(other.url("attest")), ..options(&server) };
    let attestations = Upstream::new(attestations).unwrap();
    assert_eq!(refusal(artifact(&attestations, &link).await), loopback(&other));
    assert!(matches!(artifact(&attestations, "http://[").await, Err(FetchError::Request { .. })));
    assert_eq!((server.connections(), other.connections()), (0, 0), "nothing was dialled");

    let url = attestations.attestations_url("name").unwrap();
    assert_eq!(url, other.url("attest/name"));
    attestations.metadata(&url, ANY, &Validators::default()).await.unwrap();
    assert_eq!(other.connections(), 1);
    let upstream = Upstream::new(with_file_host(&server, &other)).unwrap();
    assert_eq!(artifact(&upstream, &link).await.unwrap().1, b"bytes");
    assert_eq!(artifact(&upstream, "/elsewhere/a.tgz").await.unwrap().1, b"bytes");
}

/// For each request to a server: did it carry the token?
fn authorised(server: &TestServer) -> Vec<bool> {
    server.requests().iter().map(|request| request.contains("authorization: bearer hunter2\r\n")).collect()
}

#[tokio::test]
async fn the_token_goes_to_the_registrys_origin_only() {
    let challenge = Reply::new(401, &["WWW-Authenticate: Bearer realm=\"http://127.0.0.3/token\""], "");
    let files = TestServer::start_on("127.0.0.2", vec![Reply::new(200, &[], "bytes"), challenge]).await;
    let away = Reply::redirect(files.url("a.tgz").as_str());
    let server = TestServer::start(vec![Reply::redirect("/registry/same"), away]).await;
    let upstream = Upstream::new(with_file_host(&server, &files)).unwrap();
    assert_eq!(artifact(&upstream, "a.tgz").await.unwrap().1, b"bytes");
    assert_eq!(authorised(&server), [true, true], "its own redirect keeps the token");
    let direct = artifact(&upstream, files.url("b.tgz").as_str()).await;
    assert!(matches!(direct, Err(FetchError::Status { status: 401, .. })));
    assert_eq!(authorised(&files), [false, false]);
}

#[tokio::test]
async fn a_file_host_cannot_borrow_the_token_by_redirecting_back() {
    let server = TestServer::start(vec![Reply::new(200, &[], "bytes")]).await;
    let back = TestServer::start_on("127.0.0.2", vec![Reply::redirect(server.url("private").as_str())]).await;
    let options = with_file_host(&server, &back);
    let both = UpstreamOptions { file_hosts: vec![back.url(""), server.url("")], ..options.clone() };
    let both = Upstream::new(both).unwrap();
    assert_eq!(artifact(&both, back.url("a").as_str()).await.unwrap().1, b"bytes");
    assert_eq!(authorised(&server), [false]);
    assert_eq!(artifact(&both, "/private").await.unwrap().1, b"bytes");
    assert_eq!(authorised(&server), [false, true]);
    let one_way = Upstream::new(options).unwrap();
    assert_eq!(refusal(artifact(&one_way, back.url("a").as_str()).await), loopback(&server));
}

#[tokio::test]
async fn redirects_are_counted_and_their_bodies_left_unread() {
    let server = TestServer::start(vec![Reply::redirect("/registry/name")]).await;
    let error = document(&attempts(&server, 3)).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirects { .. }), "{error:?}");
    assert_eq!(server.connections(), 6, "the request and five redirects, once");

    let huge = "HTTP/1.1 307 X\r\nLocation: /registry/end\r\nContent-Length: 209715200\r\n\r\nand so on";
    let server = TestServer::start(vec![Reply::raw(huge).stalling(), Reply::new(200, &[], "{}")]).await;
    assert_eq!(document(&upstream(&server)).await.unwrap().url, server.url("registry/end"));

    for reply in [Reply::new(302, &[], ""), Reply::redirect("http://[")] {
        let server = TestServer::start(vec![reply]).await;
        assert!(matches!(document(&upstream(&server)).await, Err(FetchError::Redirects { .. })));
    }
}

#[tokio::test]
async fn the_resolvers_refusal_comes_back_as_one() {
    let server = TestServer::start(vec![Reply::new(200, &[], "{}")]).await;
    // A client for which localhost is not configured, asked behind the guard's back.
    let client = client(Packing::Gzip, &HashSet::new(), &Limits::default()).unwrap();
    let url = format!("http://localhost:{}/?token=hunter2", server.address.port());
    let error = client.get(url).send().await.unwrap_err();
    let error = FetchError::of_request(error, "http://localhost".to_owned(), Duration::ZERO);
    assert!(
        matches!(&error, FetchError::Egress(EgressRefusal::Address { range: SpecialRange::Loopback, .. })),
        "{error:?}"
    );
    assert_eq!(server.connections(), 0);

    let named = format!("http://localhost:{}/registry/", server.address.port());
    let options = UpstreamOptions { url: Url::parse(&named).unwrap(), ..options(&server) };
    assert_eq!(document(&Upstream::new(options).unwrap()).await.unwrap().body, "{}", "configured, it may");
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_shows_no_query() {
    let server = TestServer::start(vec![Reply::new(200, &[], "{}")]).await;
    let upstream = attempts(&server, 2);
    drop(server);
    let error = artifact(&upstream, "signed/a.tgz?token=hunter2").await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    for secret in ["hunter2", "signed"] {
        assert!(!all_words(&error).contains(secret), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_unreachable_over_https() {
    let server = TestServer::start(vec![Reply::raw("HTTP/1.1 400 X\r\n\r\n")]).await;
    let mut url = server.url("registry/");
    url.set_scheme("https").unwrap();
    let upstream = Upstream::new(UpstreamOptions { url, ..options(&server) }).unwrap();
    assert!(document(&upstream).await.unwrap_err().is_transient());
    assert!(server.requests().is_empty());
}

#[test]
fn bad_options_are_refused_before_anything_is_sent() {
    let good = || UpstreamOptions {
        ecosystem: Ecosystem::Npm,
        url: Url::parse("https://registry.example/npm").unwrap(),
        attestations_url: None,
        file_hosts: vec![],
        limits: Limits::default(),
        bearer: None,
    };
    let refused = |change: fn(&mut UpstreamOptions)| {
        let mut options = good();
        change(&mut options);
        Upstream::new(options).unwrap_err().to_string()
    };
    let upstream = Upstream::new(good()).unwrap();
    assert_eq!(upstream.index_url("name").unwrap().as_str(), "https://registry.example/npm/name");
    for (key, message) in [
        ("url", refused(|options| options.url = plain())),
        ("attestations_url", refused(|options| options.attestations_url = Some(plain()))),
        ("file_hosts", refused(|options| options.file_hosts.push(plain()))),
    ] {
        let problem = "must be https; http is for a loopback address or localhost only";
        assert_eq!(message, format!("upstream.npm: {key} {problem}"));
    }
    assert!(refused(|options| options.limits.attempts_max = 0).contains("at least 1"));
    assert!(refused(|options| options.limits.documents_max = 0).contains("at least 1"));
    assert!(refused(|options| options.limits.artifacts_max = 0).contains("at least 1"));
    let bearer = refused(|options| options.bearer = Some(Secret::new("hunter2 ")));
    assert!(bearer.contains("token") && !bearer.contains("hunter2"), "{bearer}");
}
