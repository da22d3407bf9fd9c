use touchstone_tlog::note::SignerKey;

use super::*;

/// Answers every request with one status, and says what was asked for.
struct Proxy {
    address: std::net::SocketAddr,
    asked: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
    _serving: tokio::task::JoinSet<()>,
}

impl Proxy {
    async fn start(status: &'static str) -> Self {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::sync::Arc::new(std::sync::Mutex::new(vec![]));
        let log = std::sync::Arc::clone(&asked);
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                log.lock().unwrap().push(head.split(' ').nth(1).unwrap_or_default().to_owned());
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self { address, asked, _serving: serving }
    }

    async fn found(&self, gosumdb: &str) -> Result<Found, String> {
        let goproxy = format!("http://{}/modules|direct", self.address);
        let settings = Settings { goproxy, gosumdb: gosumdb.to_owned() };
        found(&settings)
            .await
            .map_err(|error| format!("{error:#}").replace(&self.address.to_string(), "PROXY"))
    }
}

fn key(name: &str) -> String {
    SignerKey::from_seed(name, [7; 32]).unwrap().verifier().text().to_owned()
}

#[tokio::test]
async fn the_database_is_at_the_proxy_if_that_says_so() {
    let key = key("sums.example/db");
    for (status, expected) in [
        ("200 OK", "http://PROXY/modules/sumdb/sums.example/db/"),
        ("404 Not Found", "https://sums.example/db/"),
        ("410 Gone", "https://sums.example/db/"),
    ] {
        let proxy = Proxy::start(status).await;
        let found = proxy.found(&key).await.unwrap();
        let sumdb = found.sumdb.unwrap();
        assert_eq!(sumdb.url.as_str().replace(&proxy.address.to_string(), "PROXY"), expected);
        assert_eq!(sumdb.key, key);
        assert_eq!(found.url.path(), "/modules/");
        assert_eq!(*proxy.asked.lock().unwrap(), ["/modules/sumdb/sums.example/db/supported"]);
    }
    let proxy = Proxy::start("403 Forbidden").await;
    let refused = proxy.found(&key).await.err().unwrap();
    assert_eq!(
        refused,
        "the module proxy does not say whether it serves the checksum database: http://PROXY answered with status 403"
    );
}

#[tokio::test]
async fn an_address_in_gosumdb_is_asked_instead_of_the_proxy() {
    let proxy = Proxy::start("200 OK").await;
    let found = proxy.found(&format!("{} https://elsewhere.example/db", key("sums.example"))).await.unwrap();
    assert_eq!(found.sumdb.unwrap().url.as_str(), "https://elsewhere.example/db/");
    assert!(proxy.asked.lock().unwrap().is_empty());
}

#[test]
fn the_first_proxy_counts() {
    let proxy = |list: &str| proxy(list).map(String::from).map_err(|error| error.to_string());
    let first = Ok("https://modules.example/".to_owned());
    assert_eq!(proxy("https://modules.example,direct"), first);
    assert_eq!(proxy("file:///srv/modules|direct, https://modules.example/,https://other.example"), first);
    for none in ["direct", "off", "", "file:///srv/modules,direct"] {
        assert_eq!(proxy(none), Err(format!("GOPROXY is {none:?}, which names no module proxy")));
    }
}

#[test]
fn the_key_is_taken_as_it_is_or_must_fit_its_name() {
    let refused = |setting: &str| database(setting).unwrap_err().to_string();
    let good = key("sums.example");
    assert_eq!(database(&good).unwrap().key.text(), good);

    let mut other = good.clone().into_bytes();
    other[0] ^= 1;
    assert_eq!(refused(std::str::from_utf8(&other).unwrap()), "GOSUMDB holds no verifier key");
    assert_eq!(
        refused("sums.example"),
        "GOSUMDB is sums.example, which is not the database whose key is known here; write [upstream.go] with its \
         `sumdb_key` by hand"
    );
    assert_eq!(
        refused("off"),
        "GOSUMDB is off, and nothing of Go is served that no checksum database vouches for; write [upstream.go] with the \
         `sumdb_key` of one by hand"
    );
    for bad in ["", "a b c"] {
        assert_eq!(
            refused(bad),
            format!("GOSUMDB is {bad:?}, which is neither a name, nor a key, nor one of them and an address")
        );
    }
}
