//! What the go command on this machine says of its module proxy and its checksum database.
//!
//! It names its built-in database without printing that one's key, which is therefore written here, without the name: the
//! hash in a verifier key is over name and key, so that with any other name it is not a key at all.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use touchstone_domain::Ecosystem;
use touchstone_tlog::note::VerifierKey;
use touchstone_upstream::FetchError;
use url::Url;

use super::{Found, Sumdb, directory, fetch, output};

/// Hash and key of the database that the go command knows.
const BUILT_IN: &str = "033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// What `go env -json` prints.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Settings {
    goproxy: String,
    gosumdb: String,
}

/// `GOSUMDB`, read as the go command reads it.
#[derive(Debug)]
struct Database {
    key: VerifierKey,
    /// Asked instead of the proxy.
    url: Option<Url>,
}

pub(super) async fn discover() -> Result<Found> {
    // In an empty directory, where no go.mod and no toolchain line has a say.
    let nowhere = tempfile::tempdir()?;
    let directory_name = nowhere.path().to_str().context("a path in UTF-8")?;
    let arguments = ["env", "-C", directory_name, "-json", "GOPROXY", "GOSUMDB"];
    let environment = [("GOTOOLCHAIN", Path::new("local")), ("GOWORK", Path::new("off"))];
    let printed = output("go", &arguments, &environment).await?;
    let settings: Settings =
        serde_json::from_str(&printed).context("`go env -json` printed something else")?;
    found(&settings).await
}

async fn found(settings: &Settings) -> Result<Found> {
    let url = proxy(&settings.goproxy)?;
    let Database { key, url: named } = database(&settings.gosumdb)?;
    let at = match named {
        Some(named) => named,
        None => place(&url, &key).await?,
    };
    let sumdb = Some(Sumdb { key: key.text().to_owned(), url: at });
    Ok(Found { ecosystem: Ecosystem::Go, url, attestations_url: None, file_hosts: BTreeSet::new(), sumdb })
}

/// The first proxy of `GOPROXY`; the words `direct` and `off`, and directories, are none.
fn proxy(list: &str) -> Result<Url> {
    let mut entries = list.split([',', '|']).map(str::trim);
    let entry = entries.find(|entry| entry.starts_with("https://") || entry.starts_with("http://"));
    directory(entry.with_context(|| format!("GOPROXY is {list:?}, which names no module proxy"))?)
}

/// The database that `GOSUMDB` names.
fn database(setting: &str) -> Result<Database> {
    let (name, url) = match setting.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["off"] => bail!(
            "GOSUMDB is off, and nothing of Go is served that no checksum database vouches for; write [upstream.go] with \
             the `sumdb_key` of one by hand"
        ),
        [name] => (*name, None),
        [name, url] => (*name, Some(directory(url)?)),
        _ => bail!(
            "GOSUMDB is {setting:?}, which is neither a name, nor a key, nor one of them and an address"
        ),
    };
    let key = if name.contains('+') {
        VerifierKey::parse(name).context("GOSUMDB holds no verifier key")?
    } else {
        VerifierKey::parse(&format!("{name}+{BUILT_IN}")).map_err(|_| {
            anyhow!(
                "GOSUMDB is {name}, which is not the database whose key is known here; write [upstream.go] with its \
                 `sumdb_key` by hand"
            )
        })?
    };
    Ok(Database { key, url })
}

/// Where the database is: at the proxy, if that says so, else at the host of its name.
async fn place(proxy: &Url, key: &VerifierKey) -> Result<Url> {
    let name = key.name();
    let path = format!("sumdb/{name}");
    match fetch(Ecosystem::Go, proxy, &format!("{path}/supported"), "*/*").await {
        Ok(_) => directory(proxy.join(&path)?.as_str()),
        Err(error) if matches!(error.downcast_ref(), Some(FetchError::NotFound { .. })) => {
            directory(&format!("https://{name}"))
        }
        Err(error) => {
            Err(error).context("the module proxy does not say whether it serves the checksum database")
        }
    }
}

#[cfg(test)]
mod tests;
