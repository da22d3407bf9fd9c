//! Addresses that only make sense together: where the edge is, and where its upstreams are.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use url::{Host, Url};

use super::{ConfigError, Edge, Upstreams};

/// Refuses an edge whose clients would not find it, and upstreams that are the edge itself.
pub(super) fn check(edge: &Edge, upstreams: &Upstreams) -> Result<(), ConfigError> {
    let refused = |key: String, problem: String| Err(ConfigError::Value { key, problem });
    let listen = edge.listen;
    if edge.public_url.is_none() && (listen.ip().is_unspecified() || listen.port() == 0) {
        let problem = format!(
            "is missing, and clients cannot use http://{listen}/; set it to the address that they use"
        );
        return refused("edge.public_url".to_owned(), problem);
    }
    let mut hosts = BTreeSet::new();
    for (ecosystem, host) in &edge.hosts {
        if !hosts.insert(host.to_ascii_lowercase()) {
            let problem = format!("is {host}, which another ecosystem has already; give each its own name");
            return refused(format!("edge.hosts.{ecosystem}"), problem);
        }
    }
    let public = edge.public_url().origin();
    for (ecosystem, section) in upstreams.iter() {
        let sumdb = section.sumdb_url.as_ref().map(|url| ("sumdb_url", url));
        for (key, url) in [("url", &section.url)].into_iter().chain(sumdb) {
            if url.origin() == public || is_at(url, listen) {
                let problem =
                    "is the address of this mirror, which would ask itself; set it to the registry's"
                        .to_owned();
                return refused(format!("upstream.{ecosystem}.{key}"), problem);
            }
        }
    }
    Ok(())
}

/// Whether an address leads to a listener, as far as can be told without looking names up.
fn is_at(url: &Url, listen: SocketAddr) -> bool {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain("localhost")) => IpAddr::from([127, 0, 0, 1]),
        Some(Host::Domain(_)) | None => return false,
    };
    let local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    url.port_or_known_default() == Some(listen.port())
        && (ip == listen.ip() || local(ip) && local(listen.ip()))
}
