//! `touchstone upstreams discover`: asks the package clients on this machine where their registries are, and those where
//! their files are. No address is written in this source.

mod go;

use std::{collections::BTreeSet, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;
use touchstone_domain::{Ecosystem, PackageName};
use touchstone_ecosystems::adapter;
use touchstone_upstream::{Limits, MetadataReply, Upstream, UpstreamOptions, Validators};
use url::Url;

/// How long a package client may take to answer.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);

/// One upstream, as found.
pub(crate) struct Found {
    pub(crate) ecosystem: Ecosystem,
    pub(crate) url: Url,
    pub(crate) attestations_url: Option<Url>,
    pub(crate) file_hosts: BTreeSet<Url>,
    pub(crate) sumdb: Option<Sumdb>,
}

/// A Go checksum database, as found.
pub(crate) struct Sumdb {
    /// Its verifier key.
    key: String,
    url: Url,
}

/// Prints the sections, or writes those that the file lacks.
pub(crate) async fn run(file: &Path, write: bool) -> Result<()> {
    let mut found = Vec::new();
    for ecosystem in Ecosystem::ALL {
        match discover(ecosystem).await {
            Ok(upstream) => found.push(upstream),
            Err(error) => eprintln!("{ecosystem}: not found: {error:#}"),
        }
    }
    if found.is_empty() {
        bail!(
            "no package client told its registry; install npm, pip, cargo or go, or write [upstream.*] sections by hand"
        );
    }
    if !write {
        super::say(&render("", &found)?);
        return Ok(());
    }
    let before = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let after = render(&before, &found)?;
    std::fs::write(file, &after).with_context(|| format!("cannot write {}", file.display()))?;
    let sections = |text: &str| text.matches("[upstream.").count();
    let added = sections(&after).saturating_sub(sections(&before));
    super::say(&format!("found {} upstream(s), added {added} to {}\n", found.len(), file.display()));
    Ok(())
}

async fn discover(ecosystem: Ecosystem) -> Result<Found> {
    match ecosystem {
        Ecosystem::Npm => npm().await,
        Ecosystem::Pypi => pypi().await,
        Ecosystem::Cargo => cargo().await,
        Ecosystem::Go => go::discover().await,
    }
}

async fn npm() -> Result<Found> {
    let url = directory(output("npm", &["config", "get", "registry"], &[]).await?.trim())?;
    Ok(Found {
        ecosystem: Ecosystem::Npm,
        url,
        attestations_url: None,
        file_hosts: BTreeSet::new(),
        sumdb: None,
    })
}

/// pip's own setting, else the default that its help names; then the host of the files of a package that every index has.
async fn pypi() -> Result<Found> {
    let configured = output("pip", &["config", "get", "global.index-url"], &[]).await.ok();
    let address = if let Some(address) = configured.as_deref().map(str::trim).filter(|text| !text.is_empty())
    {
        address.to_owned()
    } else {
        let help = output("pip", &["install", "--help"], &[]).await?;
        let mut words = help.split(|c: char| c.is_whitespace() || c == '(' || c == ')');
        let url = words.find(|word| word.starts_with("https://") && word.ends_with("/simple"));
        url.context("`pip install --help` names no default index")?.to_owned()
    };
    let url = directory(address.trim_end_matches('/').trim_end_matches("simple"))?;
    let package = PackageName::new("pip")?;
    let path = adapter(Ecosystem::Pypi).index_path(&package);
    let (page, content_type, body) = fetch(Ecosystem::Pypi, &url, &path.path, path.accept).await?;
    let index = adapter(Ecosystem::Pypi).parse_index(&package, &content_type, body)?;
    let entry = index.entries().last().context("the index lists no file of pip")?;
    let located = index.locate(&entry.version, &entry.file).context("the index lists no file of pip")?;
    let file_hosts =
        [origin(&page.join(&located.url)?)].into_iter().filter(|host| *host != origin(&url)).collect();
    Ok(Found { ecosystem: Ecosystem::Pypi, attestations_url: None, url, file_hosts, sumdb: None })
}

/// Cargo keeps the index of its default registry in a folder that is named after the host; its `config.json` says where the
/// crates are.
async fn cargo() -> Result<Found> {
    let home = tempfile::tempdir()?;
    let project = home.path().join("project");
    std::fs::create_dir_all(project.join("src"))?;
    std::fs::write(project.join("src/lib.rs"), "")?;
    let manifest = "[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[dependencies]\ncfg-if = \"1\"\n";
    std::fs::write(project.join("Cargo.toml"), manifest)?;
    let manifest = project.join("Cargo.toml");
    let arguments =
        ["generate-lockfile", "--quiet", "--manifest-path", manifest.to_str().context("a path in UTF-8")?];
    output("cargo", &arguments, &[("CARGO_HOME", home.path())]).await?;
    let mut folders = std::fs::read_dir(home.path().join("registry/index"))?;
    let folder = folders.next().context("cargo made no index folder")??.file_name();
    let folder = folder.to_str().context("a folder name in UTF-8")?;
    let (host, _hash) = folder.rsplit_once('-').context("the index folder is not named after a host")?;
    let url = directory(&format!("https://{host}/"))?;
    let (_, _, body) = fetch(Ecosystem::Cargo, &url, "config.json", "application/json").await?;
    let template = adapter(Ecosystem::Cargo).parse_download_template(&body)?;
    let downloads = Url::parse(&template.replace(['{', '}'], ""))?;
    let file_hosts = [origin(&downloads)].into_iter().filter(|host| *host != origin(&url)).collect();
    Ok(Found { ecosystem: Ecosystem::Cargo, url, attestations_url: None, file_hosts, sumdb: None })
}

async fn fetch(
    ecosystem: Ecosystem,
    url: &Url,
    path: &str,
    accept: &str,
) -> Result<(Url, String, bytes::Bytes)> {
    let limits = Limits::default();
    let options = UpstreamOptions {
        ecosystem,
        url: url.clone(),
        attestations_url: None,
        file_hosts: vec![],
        limits,
        bearer: None,
    };
    let upstream = Upstream::new(options)?;
    match upstream.metadata(&upstream.index_url(path)?, accept, &Validators::default()).await? {
        MetadataReply::Document(document) => Ok((document.url, document.content_type, document.body)),
        MetadataReply::NotModified => bail!("{url} answered 304 to an unconditional request"),
    }
}

async fn output(program: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    for (name, value) in environment {
        command.env(name, value);
    }
    let ran = tokio::time::timeout(CLIENT_TIMEOUT, command.output()).await;
    let ran = ran
        .with_context(|| format!("{program} did not answer"))?
        .with_context(|| format!("cannot run {program}"))?;
    if !ran.status.success() {
        bail!("{program} {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&ran.stderr).trim());
    }
    Ok(String::from_utf8(ran.stdout)?)
}

fn directory(address: &str) -> Result<Url> {
    let mut url = Url::parse(address).with_context(|| format!("{address:?} is no address"))?;
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn origin(url: &Url) -> Url {
    let mut origin = url.clone();
    origin.set_path("/");
    origin.set_query(None);
    origin
}

/// Adds the sections that the document lacks; what somebody wrote stays.
fn render(before: &str, found: &[Found]) -> Result<String> {
    use toml_edit::{Array, DocumentMut, Item, Table, value};
    let mut document: DocumentMut = before.parse().context("touchstone.toml is not TOML")?;
    let upstream = document.entry("upstream").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let upstream = upstream.as_table_mut().context("`upstream` is not a table")?;
    for entry in found {
        if upstream.contains_key(entry.ecosystem.as_str()) {
            continue;
        }
        let mut section = Table::new();
        section.insert("url", value(entry.url.as_str()));
        if let Some(url) = &entry.attestations_url {
            section.insert("attestations_url", value(url.as_str()));
        }
        if let Some(Sumdb { key, url }) = &entry.sumdb {
            section.insert("sumdb_key", value(key));
            section.insert("sumdb_url", value(url.as_str()));
        }
        if !entry.file_hosts.is_empty() {
            let hosts: Array = entry.file_hosts.iter().map(Url::as_str).collect();
            section.insert("file_hosts", value(hosts));
        }
        upstream.insert(entry.ecosystem.as_str(), Item::Table(section));
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_added_and_what_was_written_stays() {
        let url = |text: &str| Url::parse(text).expect("url");
        let found = |ecosystem, address| Found {
            ecosystem,
            url: url(address),
            attestations_url: None,
            file_hosts: [url("https://files.example/")].into(),
            sumdb: None,
        };
        let sumdb = Sumdb { key: "sums.example+0123abcd+AAAA".into(), url: url("https://sums.example/") };
        let before = "# ours\ndata_dir = \"/srv\"\n\n[upstream.npm]\nurl = \"https://mine.example/\"\n";
        let after = render(
            before,
            &[
                found(Ecosystem::Npm, "https://other.example/"),
                found(Ecosystem::Pypi, "https://py.example/simple/"),
                Found {
                    file_hosts: BTreeSet::new(),
                    sumdb: Some(sumdb),
                    ..found(Ecosystem::Go, "https://modules.example/")
                },
            ],
        );
        let expected = "[upstream.pypi]\nurl = \"https://py.example/simple/\"\nfile_hosts = [\"https://files.example/\"]\n";
        let go = "[upstream.go]\nurl = \"https://modules.example/\"\nsumdb_key = \"sums.example+0123abcd+AAAA\"\n\
                  sumdb_url = \"https://sums.example/\"\n";
        assert_eq!(after.expect("rendered"), format!("{before}\n{expected}\n{go}"));
        assert!(render("upstream = 3", &[]).is_err());
    }
}
