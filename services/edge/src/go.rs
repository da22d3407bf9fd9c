//! What is said of the versions of Go modules: `.info` of a version, of a branch or commit, and `@latest`.
//!
//! *Invariant:* a version of which a file is refused is refused here too, in the same words, and never as if it did not exist: the
//! go command would look for it elsewhere.
//!
//! *Invariant:* a document reaches the client byte for byte, and only if it names the version that was asked for. It selects no
//! bytes (threats.md G-15).

use std::{cmp::Ordering, collections::HashSet, sync::Arc, time::Duration};

use http::{Method, Response};
use jiff::Timestamp;
use touchstone_domain::{
    ArtifactId, ArtifactState, Ecosystem, FileName, PackageName, Refusal, RefusalKind, Sighting, Version,
};
use touchstone_ecosystems::{
    Amendment, GoQuery,
    go::{self, Info},
    version_lower,
};
use touchstone_store::ArtifactStatus;

use crate::{
    amend,
    documents::{self, Absence, Kept, Renewal, Wanted},
    index, render,
    serve::Body,
    state::Edge,
    words,
};

/// How long what is said of a canonical version is used without asking again: it does not change.
const VERSION_AGE_MAX: Duration = Duration::from_hours(24);
/// The largest document, in bytes.
const INFO_BYTES_MAX: u64 = 64 * 1024;
/// How many listed versions are looked at in place of a latest one that is refused.
const FALLBACKS_MAX: usize = 8;
/// A version may be refused later, and a branch moves.
const CACHE: &str = "private, max-age=60";

/// Something about a version. The outer error says that it cannot be told now, the inner one that the version is refused.
type Judged<T> = Result<Result<T, Refusal>, Refusal>;

/// What the upstream says of a version.
pub(crate) struct Said {
    pub(crate) info: Info,
    /// The document that says so.
    pub(crate) kept: Kept,
}

/// Answers what is said of a version.
pub(crate) async fn respond(
    edge: &Arc<Edge>,
    package: &PackageName,
    query: &GoQuery,
    method: &Method,
) -> Result<Response<Body>, Refusal> {
    let admission = edge.policy.admit_package(Ecosystem::Go, package);
    if let Some(refusal) =
        words::admission(Ecosystem::Go, &words::package(Ecosystem::Go, package), &admission)
    {
        return Err(refusal);
    }
    let said = match query {
        GoQuery::Version(version) => of_version(edge, package, version).await??,
        GoQuery::Revision(_) => of_query(edge, package, query).await??,
        GoQuery::Latest => latest(edge, package).await?,
    };
    Ok(render::plain(said.info.rendered(), method, CACHE))
}

/// What is said of a canonical version. A refused one is not asked about.
async fn of_version(edge: &Arc<Edge>, package: &PackageName, version: &Version) -> Judged<Said> {
    let files = match unrefused(edge, package, version).await? {
        Ok(files) => files,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let absence = if files.is_empty() { Absence::Remembered } else { Absence::Asked };
    let query = GoQuery::Version(version.clone());
    let said = said(edge, package, &query, absence).await.map_err(|refusal| {
        // Not 404, which makes the go command look elsewhere: it is here.
        let gone = is_unknown(&refusal) && !files.is_empty();
        if gone { words::broken(&what(package, &query), "the upstream no longer has it") } else { refusal }
    })?;
    old_enough(edge, package, said, &files).await
}

/// What is said of the version that a branch, a commit or `@latest` means now.
async fn of_query(edge: &Arc<Edge>, package: &PackageName, query: &GoQuery) -> Judged<Said> {
    let said = said(edge, package, query, Absence::Remembered).await?;
    match unrefused(edge, package, &said.info.version).await? {
        Ok(files) => old_enough(edge, package, said, &files).await,
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The latest version, or the highest listed one when that is refused or the upstream does not say which it is; else why it is
/// refused. Unknown only when nothing is listed.
async fn latest(edge: &Arc<Edge>, package: &PackageName) -> Result<Said, Refusal> {
    let mut refusal = match of_query(edge, package, &GoQuery::Latest).await {
        Ok(Ok(said)) => return Ok(said),
        Ok(Err(refused)) => refused,
        // A module proxy need not say.
        Err(unsaid) if is_unknown(&unsaid) => unsaid,
        Err(failed) => return Err(failed),
    };
    let listed = match listed(edge, package).await {
        Ok(listed) => listed,
        Err(failed) if is_unknown(&refusal) => return Err(failed),
        Err(_unlisted) => return Err(refusal),
    };
    for version in listed.offered.iter().take(FALLBACKS_MAX).chain(&listed.refused) {
        match of_version(edge, package, version).await {
            Ok(Ok(said)) => return Ok(said),
            Ok(Err(refused)) if is_unknown(&refusal) => refusal = refused,
            Ok(Err(_also)) => {}
            // Listed, and not there.
            Err(missing) if is_unknown(&missing) => {}
            Err(failed) => return Err(failed),
        }
    }
    if is_unknown(&refusal) && !(listed.offered.is_empty() && listed.refused.is_none()) {
        refusal = words::broken(&what(package, &GoQuery::Latest), "the upstream has none that it lists");
    }
    Err(refusal)
}

fn is_unknown(refusal: &Refusal) -> bool {
    refusal.kind == RefusalKind::Unknown
}

/// The versions that are listed.
struct Listed {
    /// Those that are not refused, the latest first.
    offered: Vec<Version>,
    /// The latest of the others.
    refused: Option<Version>,
}

async fn listed(edge: &Arc<Edge>, package: &PackageName) -> Result<Listed, Refusal> {
    let listing = index::listing(edge, Ecosystem::Go, package, edge.config.metadata_ttl).await?;
    let amended = amend::amendments(edge, Ecosystem::Go, package, &listing).await?;
    let refused: HashSet<&Version> = amended
        .amendments
        .iter()
        .filter_map(|((version, _), amendment)| match amendment {
            Amendment::Refuse { .. } => Some(version),
            Amendment::Restore { .. } => None,
        })
        .collect();
    let mut versions: Vec<Version> =
        listing.index.entries().iter().map(|entry| entry.version.clone()).collect();
    versions.sort_by(latest_first);
    let (refused, offered): (Vec<_>, _) = versions.into_iter().partition(|version| refused.contains(version));
    Ok(Listed { offered, refused: refused.into_iter().next() })
}

/// Releases before pre-releases, then the higher version first, as the go command chooses.
fn latest_first(a: &Version, b: &Version) -> Ordering {
    let lower = |a, b| version_lower(Ecosystem::Go, a, b).unwrap_or_default();
    let is_prerelease = |version: &Version| version.as_str().contains('-');
    is_prerelease(a).cmp(&is_prerelease(b)).then_with(|| lower(a, b).cmp(&lower(b, a)))
}

/// Asks the upstream what it says, or takes what is kept.
pub(crate) async fn said(
    edge: &Arc<Edge>,
    package: &PackageName,
    query: &GoQuery,
    absence: Absence,
) -> Result<Said, Refusal> {
    let (path, what) = (go::info_path(package, query), what(package, query));
    let url = edge.upstream(Ecosystem::Go)?.index_url(&path.path).map_err(|e| words::fetch(&what, &e))?;
    let max_age = match query {
        GoQuery::Version(_) => VERSION_AGE_MAX,
        GoQuery::Revision(_) | GoQuery::Latest => edge.config.metadata_ttl,
    };
    let read = {
        let (package, query, what) = (package.clone(), query.clone(), what.clone());
        move |kept: &Kept| go::read_info(&package, &query, &kept.body).map_err(|e| words::broken(&what, e))
    };
    let (ecosystem, accept, bytes_max) = (Ecosystem::Go, path.accept, INFO_BYTES_MAX);
    let renewal = Renewal::Revalidated;
    let wanted = Wanted { ecosystem, url, accept, what, max_age, bytes_max, absence, renewal };
    let sound = read.clone();
    let kept = documents::shared(edge, wanted, move |kept| sound(kept).map(drop)).await?;
    Ok(Said { info: read(&kept)?, kept })
}

/// The document in a sentence.
fn what(package: &PackageName, query: &GoQuery) -> String {
    let module = words::package(Ecosystem::Go, package);
    match query {
        GoQuery::Version(version) => format!("{module}@{version}"),
        GoQuery::Revision(revision) => format!("the revision {revision} of {module}"),
        GoQuery::Latest => format!("the latest version of {module}"),
    }
}

/// The files of a version that are on record.
#[derive(Default)]
struct Files {
    zip: Option<ArtifactStatus>,
    go_mod: Option<ArtifactStatus>,
}

impl Files {
    const fn is_empty(&self) -> bool {
        self.zip.is_none() && self.go_mod.is_none()
    }
}

/// The files of a version on record, unless the policy refuses the version, or a file of it is refused.
async fn unrefused(edge: &Edge, package: &PackageName, version: &Version) -> Judged<Files> {
    let what = format!("{}@{version}", words::package(Ecosystem::Go, package));
    let admission = edge.policy.admit_version(Ecosystem::Go, package, version);
    if let Some(refusal) = words::admission(Ecosystem::Go, &what, &admission) {
        return Ok(Err(refusal));
    }
    let mut found = [None, None];
    for (extension, found) in ["zip", "mod"].into_iter().zip(&mut found) {
        // Without a name for the file, there is no such file.
        let Ok(file) = FileName::new(format!("{version}.{extension}")) else { continue };
        let (package, version) = (package.clone(), version.clone());
        let id = ArtifactId { ecosystem: Ecosystem::Go, package, version, file };
        let Some(status) = edge.store.status(&id).await.map_err(|e| words::store(&e))? else { continue };
        if let Some(refusal) = refused(edge, &status) {
            return Ok(Err(refusal));
        }
        *found = Some(status);
    }
    let [zip, go_mod] = found;
    Ok(Ok(Files { zip, go_mod }))
}

/// Why a file on record is not to be had, as it is said to who asks for the file; `None` while it is being verified.
fn refused(edge: &Edge, status: &ArtifactStatus) -> Option<Refusal> {
    let id = &status.id;
    let admission = edge.policy.admit(id, status.gate.sha256);
    let by_policy = words::admission(id.ecosystem, &id.to_string(), &admission);
    by_policy.or_else(|| match status.state() {
        ArtifactState::Rejected | ArtifactState::Held | ArtifactState::Revoked => {
            Some(words::decided(id, status))
        }
        ArtifactState::Fetched | ArtifactState::Verifying | ArtifactState::Servable => None,
    })
}

/// Refuses a version that is younger than the policy asks for, as the list hides it.
async fn old_enough(edge: &Edge, package: &PackageName, said: Said, files: &Files) -> Judged<Said> {
    if edge.policy.min_age(Ecosystem::Go, package).is_zero() {
        return Ok(Ok(said));
    }
    let asked = |status: &ArtifactStatus| status.eligible_at.filter(|_| !status.state().is_servable());
    let now = edge.clock.now();
    let zip = match &files.zip {
        Some(status) => asked(status),
        None => eligible_at(edge, package, &said.info, now).await?,
    };
    let at = zip.max(files.go_mod.as_ref().and_then(asked)).filter(|at| *at > now);
    let what = what(package, &GoQuery::Version(said.info.version.clone()));
    Ok(if at.is_some() { Err(words::young(&what, at)) } else { Ok(said) })
}

/// When a version that is not on record is old enough. From now on it has been seen.
async fn eligible_at(
    edge: &Edge,
    package: &PackageName,
    info: &Info,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refusal> {
    let versions = [(info.version.clone(), false)];
    let seen =
        edge.store.first_seen(Ecosystem::Go, package, &versions).await.map_err(|e| words::store(&e))?;
    let first_seen = seen.get(&info.version).copied().unwrap_or(now);
    let sighting = Sighting { published_at: info.time, first_seen };
    Ok(edge.policy.eligible_at(Ecosystem::Go, package, sighting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_the_highest_release_and_else_the_highest_pre_release() {
        let sorted = |texts: &[&str]| {
            let mut versions: Vec<Version> =
                texts.iter().map(|text| Version::new(*text).expect("a version")).collect();
            versions.sort_by(latest_first);
            versions.iter().map(|version| version.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            sorted(&["v1.9.0", "v2.0.0-rc.1", "v1.10.0", "v2.0.0-rc.10", "v0.1.0", "v2.0.0+incompatible"]),
            ["v2.0.0+incompatible", "v1.10.0", "v1.9.0", "v0.1.0", "v2.0.0-rc.10", "v2.0.0-rc.1"]
        );
        assert_eq!(sorted(&[]), Vec::<String>::new());
    }

    #[test]
    fn what_is_asked_about_is_said_in_words() {
        let package = PackageName::new("example.com/m").expect("a module");
        let version = Version::new("v1.0.0").expect("a version");
        for (query, expected) in [
            (GoQuery::Version(version), "Go module example.com/m@v1.0.0"),
            (GoQuery::Revision("main".to_owned()), "the revision main of Go module example.com/m"),
            (GoQuery::Latest, "the latest version of Go module example.com/m"),
        ] {
            assert_eq!(what(&package, &query), expected);
        }
    }
}
