//! Metadata over HTTP: rewritten, filtered, cached, and never worse than what was there before.

mod cache;
mod documents;
mod large;
mod listed;
mod malformed;
mod refused;

use reqwest::Response;
use serde_json::Value;
use touchstone_domain::Ecosystem;
use touchstone_testkit::Registry;
use url::Url;

pub(super) const NPM_ABBREVIATED: &str = "application/vnd.npm.install-v1+json";
pub(super) const PYPI_JSON: &str = "application/vnd.pypi.simple.v1+json";
pub(super) const PYPI_HTML_V1: &str = "application/vnd.pypi.simple.v1+html";

pub(super) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

/// The body of a 200, as text.
pub(super) async fn text(response: Response) -> String {
    assert_eq!(response.status(), 200, "{}: {}", response.url(), header(&response, "x-touchstone-reason"));
    response.text().await.expect("a body")
}

/// The body of a 200, as JSON.
pub(super) async fn json(response: Response) -> Value {
    serde_json::from_str(&text(response).await).expect("JSON")
}

/// Status, code and body of a refusal.
pub(super) async fn refusal(response: Response) -> (u16, String, String) {
    let code = header(&response, "x-touchstone-code").to_owned();
    (response.status().as_u16(), code, response.text().await.expect("a body"))
}

/// What the registry itself says.
async fn upstream(registry: &Registry, ecosystem: Ecosystem, path: &str, accept: &str) -> String {
    let url = registry.url(ecosystem).join(path).expect("a path");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    text(client.get(url).header("accept", accept).send().await.expect("an answer")).await
}

/// An address of the mirror as a path below its root.
fn path_of(url: &str, root: &Url) -> String {
    url.strip_prefix(root.as_str()).unwrap_or_else(|| panic!("{url} is not below {root}")).to_owned()
}
