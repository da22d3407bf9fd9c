//! A package's metadata as a response: conditional, compressed, in pieces.

use std::{io::Write as _, sync::Arc, vec::IntoIter};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use touchstone_domain::{Ecosystem, PackageName, Refusal, RefusalKind, Sha256};
use touchstone_ecosystems::{Amendment, IndexForm, Rendered};

use crate::{
    amend::{self, Amended},
    index::{self, Listing},
    serve::{self, Body, BodyError, names_etag},
    state::Edge,
    words,
};

/// Bodies below this size are sent as they are.
const COMPRESS_FROM_BYTES: u64 = 1_024;
/// How much is compressed at once, in bytes before compression.
const BATCH_BYTES: usize = 128 * 1024;

/// Answers a request for a package's metadata.
pub(crate) async fn respond(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    package: &PackageName,
    form: &IndexForm,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let what = words::package(ecosystem, package);
    let admission = edge.policy.admit_package(ecosystem, package);
    if let Some(refusal) = words::admission(ecosystem, &what, &admission) {
        return Err(refusal);
    }
    let listing = index::listing(edge, ecosystem, package, edge.config.metadata_ttl).await?;
    let amended = amend::amendments(edge, ecosystem, package, &listing).await?;
    if let Some(refusal) = nothing_left(&what, form, &listing, &amended) {
        return Err(refusal);
    }
    let gzip = is_compressed(ecosystem) && accepts_gzip(headers);
    let etag = entity_tag(edge, ecosystem, form, &listing, &amended);
    let mut known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    if known.any(|tags| names_etag(tags, &etag)) {
        let mut response = Response::new(serve::full(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        describe(&mut response, &etag);
        return Ok(response);
    }
    let public_url = edge.public_url(ecosystem);
    let absent = absent(&what, form, &amended);
    let form = form.clone();
    let rendered =
        tokio::task::spawn_blocking(move || listing.index.render(&form, &public_url, &amended.amendments))
            .await
            .map_err(|_panic| words::unavailable("rendering the metadata failed"))?
            .ok_or(absent)?;
    let mut response = body(rendered, method, gzip);
    describe(&mut response, &etag);
    Ok(response)
}

/// Whether metadata is compressed for those who accept it. Go's lists are short, and proxies send them plain.
const fn is_compressed(ecosystem: Ecosystem) -> bool {
    match ecosystem {
        Ecosystem::Go => false,
        Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => true,
    }
}

/// A document that is sent as it is, and never compressed.
pub(crate) fn plain(rendered: Rendered, method: &Method, cache: &'static str) -> Response<Body> {
    let mut response = body(rendered, method, false);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// A document that is sent as it is.
pub(crate) fn document(rendered: Rendered, method: &Method, headers: &HeaderMap) -> Response<Body> {
    body(rendered, method, accepts_gzip(headers))
}

fn body(rendered: Rendered, method: &Method, gzip: bool) -> Response<Body> {
    let size = rendered.size();
    let mut response = Response::new(serve::full(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(rendered.content_type));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let compress = gzip && size >= COMPRESS_FROM_BYTES;
    if compress {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    } else {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    if method == Method::HEAD {
        return response;
    }
    *response.body_mut() = if compress {
        compressed(rendered.body)
    } else {
        serve::stream(stream::iter(rendered.body.into_iter().map(Ok)))
    };
    response
}

/// Compresses a batch whenever the client has taken the one before. Nobody waits for a client: a batch takes a thread of the
/// blocking pool for as long as it is compressed.
fn compressed(pieces: Vec<Bytes>) -> Body {
    let packing = Packing {
        pieces: pieces.into_iter(),
        piece: Bytes::new(),
        encoder: GzEncoder::new(Vec::new(), Compression::fast()),
    };
    serve::stream(stream::try_unfold(Some(packing), |packing| async move {
        let Some(packing) = packing else { return Ok(None) };
        let (bytes, rest) = tokio::task::spawn_blocking(|| packing.batch()).await??;
        Ok::<_, BodyError>(Some((bytes, rest)))
    }))
}

/// What is left to compress.
struct Packing {
    pieces: IntoIter<Bytes>,
    piece: Bytes,
    encoder: GzEncoder<Vec<u8>>,
}

impl Packing {
    /// Compresses a batch, or as much as it takes to have anything to send; `None` says that it was the last.
    fn batch(mut self) -> std::io::Result<(Bytes, Option<Self>)> {
        let mut room = BATCH_BYTES;
        while room > 0 || self.encoder.get_ref().is_empty() {
            if self.piece.is_empty() {
                match self.pieces.next() {
                    Some(piece) => self.piece = piece,
                    None => return Ok((Bytes::from(self.encoder.finish()?), None)),
                }
            }
            let part = self.piece.split_to(self.piece.len().min(BATCH_BYTES));
            self.encoder.write_all(&part)?;
            room = room.saturating_sub(part.len());
        }
        let packed = std::mem::take(self.encoder.get_mut());
        Ok((Bytes::from(packed), Some(self)))
    }
}

/// npm clients read a packument without versions as a broken one: say why instead (ecosystems.md 4.1.1). PyPI and Cargo list
/// refused versions as yanked. Without a version in the list, the go command asks for the latest, and is told why there is none.
fn nothing_left(what: &str, form: &IndexForm, listing: &Listing, amended: &Amended) -> Option<Refusal> {
    match form {
        IndexForm::NpmFull | IndexForm::NpmAbbreviated | IndexForm::NpmManifest(_) => (),
        IndexForm::PypiHtml
        | IndexForm::PypiHtmlV1
        | IndexForm::PypiJson
        | IndexForm::CargoSparse
        | IndexForm::GoList => {
            return None;
        }
    }
    let entries = listing.index.entries();
    let refused = |at: usize| {
        let entry = &entries[at];
        match amended.amendments.get(&(entry.version.clone(), entry.file.clone())) {
            Some(Amendment::Refuse { reason }) => Some(reason),
            Some(Amendment::Restore { .. }) | None => None,
        }
    };
    let first = refused(entries.len().checked_sub(1)?)?;
    let all = (0..entries.len()).all(|at| refused(at).is_some());
    all.then(|| {
        Refusal::new(
            RefusalKind::Held { eligible_at: None },
            "Every version is refused by the mirror",
            format!("every version of {what} is refused; the newest is {first}. Ask the operators, or choose another package."),
        )
    })
}

/// Why there is no manifest of a version or tag: it is refused, or there is none.
fn absent(what: &str, form: &IndexForm, amended: &Amended) -> Refusal {
    let refused = |version: &str| {
        amended.amendments.iter().find_map(|((listed, _), amendment)| match amendment {
            Amendment::Refuse { reason } if listed.as_str() == version => Some(reason),
            Amendment::Refuse { .. } | Amendment::Restore { .. } => None,
        })
    };
    let reason = match form {
        IndexForm::NpmManifest(version) => refused(version),
        IndexForm::NpmFull
        | IndexForm::NpmAbbreviated
        | IndexForm::PypiHtml
        | IndexForm::PypiHtmlV1
        | IndexForm::PypiJson
        | IndexForm::CargoSparse
        | IndexForm::GoList => None,
    };
    match reason {
        Some(reason) => Refusal::new(
            RefusalKind::Held { eligible_at: None },
            "This version is refused by the mirror",
            format!("this version of {what} is {reason}. Choose another version, or ask the operators."),
        ),
        None => words::unknown(&format!("this version or tag of {what}")),
    }
}

/// Changes whenever the body may: with the document, the amendments, the form, the address, the software.
fn entity_tag(
    edge: &Edge,
    ecosystem: Ecosystem,
    form: &IndexForm,
    listing: &Listing,
    amended: &Amended,
) -> String {
    let url = edge.public_url(ecosystem);
    let version = env!("CARGO_PKG_VERSION");
    let facts = format!("{} {} {form:?} {url} {version}", listing.sha256, amended.fingerprint);
    format!("W/\"{}\"", &Sha256::of(facts).to_string()[..32])
}

fn describe(response: &mut Response<Body>, etag: &str) {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(etag).expect("hexadecimal digits"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=60"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    accepted.flat_map(|list| list.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        name && !parts.any(|p| p.replace(' ', "").trim_end_matches(['0', '.']) == "q=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_to_those_who_accept_it() {
        for (header, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("gzip;q=0.01", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(header));
            assert_eq!(accepts_gzip(&headers), expected, "{header}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    /// Pieces that hardly compress, among them empty and tiny ones.
    fn noise() -> Vec<Bytes> {
        let block = |n: u32| Sha256::of(n.to_be_bytes()).0;
        let noise: Vec<u8> = (0..64 * 1024).flat_map(block).collect();
        let noise = Bytes::from(noise);
        vec![
            Bytes::new(),
            noise.slice(..1),
            noise.slice(1..1_000_000),
            Bytes::new(),
            noise.slice(1_000_000..),
        ]
    }

    #[test]
    fn readers_that_do_not_read_hold_no_thread() {
        use http_body_util::BodyExt as _;

        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(2).build().expect("a runtime");
        let noise = noise();
        runtime.block_on(async {
            let mut idle: Vec<Body> = (0..8).map(|_| compressed(noise.clone())).collect();
            let mut began = Vec::new();
            for body in &mut idle {
                let first = tokio::time::timeout(std::time::Duration::from_secs(30), body.frame());
                let frame = first.await.expect("in time").expect("a frame").expect("compressed");
                began.push(frame.into_data().expect("data"));
            }
            let packed = compressed(noise.clone()).collect().await.expect("a body").to_bytes();
            assert!(began.iter().all(|began| packed.starts_with(began) && began.len() < packed.len() / 4));
            let mut plain = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&packed[..]);
            std::io::Read::read_to_end(&mut decoder, &mut plain).expect("gzip");
            assert!(plain == noise.concat());
        });
    }
}
