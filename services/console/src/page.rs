//! A page for people who open the console in a browser: what there is to ask. Nothing from outside is shown on it.

use axum::{
    http::{HeaderName, header},
    response::{Html, IntoResponse},
};

const PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Touchstone</title></head><body>
<h1>Touchstone</h1>
<ul>
<li><a href=\"/api/v1/summary\">summary</a>: artifacts by state, oldest pending, stuck, dead letters, incidents, stopped
checksum databases</li>
<li><code>/api/v1/artifacts?purl=pkg:npm/left-pad@1.3.0</code>: one artifact's whole story: each check with its evidence and the trust
material behind it, what an operator can do, who has signed the package, and whether a checksum database is stopped</li>
<li><a href=\"/api/v1/incidents\">incidents</a>, <a href=\"/api/v1/dead-letters\">dead letters</a>, <a href=\"/api/v1/policy\">policy</a></li>
<li><a href=\"/metrics\">metrics</a>, <a href=\"/api/v1/openapi.json\">OpenAPI</a></li>
</ul>
</body></html>
";

pub(crate) async fn index() -> impl IntoResponse {
    let policy: (HeaderName, &str) =
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    ([policy], Html(PAGE))
}
