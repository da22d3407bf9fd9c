//! Who signs: the fields of a signing certificate that name a person or a build.

use std::collections::BTreeMap;

use touchstone_domain::Sha256;

use super::certificate::{Template, extension};

/// The forge of a build. It decides how URIs are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    /// `https://github.com/<repository>/.github/workflows/<workflow>@<ref>`.
    GitHub,
    /// `https://gitlab.com/<repository>//<workflow>@<ref>`.
    GitLab,
}

/// A signer. Honest and consistent by default: each method changes one fact, and every field that follows from it.
#[derive(Clone, Debug)]
pub struct Identity {
    forge: Forge,
    repository: String,
    workflow: String,
    git_ref: String,
    commit: String,
    repository_id: String,
    owner_id: String,
    trigger: String,
    runner: String,
    environment: Option<String>,
    run: String,
    issuer: Option<String>,
    names: Option<Vec<String>>,
    claims: BTreeMap<u32, Option<String>>,
}

impl Identity {
    /// A workflow `release.yml` of a repository `owner/name`, run by a push to `main` on a hosted runner. The numeric ids
    /// follow from the names.
    pub fn github(repository: &str) -> Self {
        let owner = repository.split('/').next().unwrap_or(repository);
        Self {
            forge: Forge::GitHub,
            repository: repository.to_owned(),
            workflow: "release.yml".to_owned(),
            git_ref: "refs/heads/main".to_owned(),
            commit: hex::encode(&Sha256::of(repository.as_bytes()).0[..20]),
            repository_id: number(repository),
            owner_id: number(owner),
            trigger: "push".to_owned(),
            runner: "github-hosted".to_owned(),
            environment: None,
            run: "9876543210".to_owned(),
            issuer: None,
            names: None,
            claims: BTreeMap::new(),
        }
    }

    /// A pipeline `.gitlab-ci.yml` of a project `group/name`.
    pub fn gitlab(repository: &str) -> Self {
        let mut identity = Self::github(repository);
        identity.forge = Forge::GitLab;
        identity.workflow(".gitlab-ci.yml").runner("gitlab-hosted")
    }

    /// A person with an email address, and nothing of a build.
    pub fn email(address: &str, issuer: &str) -> Self {
        let mut identity = Self::github("").issuer(issuer).names(&[address]);
        identity.claims = (2..=6).chain(9..=24).map(|n| (n, None)).collect();
        identity
    }

    /// Another workflow file.
    #[must_use]
    pub fn workflow(mut self, file: &str) -> Self {
        file.clone_into(&mut self.workflow);
        self
    }

    /// Another ref, `refs/tags/v1.2.3` for instance.
    #[must_use]
    pub fn git_ref(mut self, git_ref: &str) -> Self {
        git_ref.clone_into(&mut self.git_ref);
        self
    }

    /// Another commit, 40 hexadecimal digits.
    #[must_use]
    pub fn commit(mut self, commit: &str) -> Self {
        commit.clone_into(&mut self.commit);
        self
    }

    /// Another repository under the same name.
    #[must_use]
    pub fn repository_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.repository_id);
        self
    }

    /// Another owner under the same name.
    #[must_use]
    pub fn owner_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.owner_id);
        self
    }

    /// Another event, `pull_request` for instance.
    #[must_use]
    pub fn trigger(mut self, event: &str) -> Self {
        event.clone_into(&mut self.trigger);
        self
    }

    /// Another runner, `self-hosted` for instance.
    #[must_use]
    pub fn runner(mut self, environment: &str) -> Self {
        environment.clone_into(&mut self.runner);
        self
    }

    /// A deployment environment.
    #[must_use]
    pub fn environment(mut self, name: &str) -> Self {
        self.environment = Some(name.to_owned());
        self
    }

    /// Another run of the workflow.
    #[must_use]
    pub fn run(mut self, id: &str) -> Self {
        id.clone_into(&mut self.run);
        self
    }

    /// Another issuer of identity tokens.
    #[must_use]
    pub fn issuer(mut self, url: &str) -> Self {
        self.issuer = Some(url.to_owned());
        self
    }

    /// Other subject alternative names: of a reusable workflow, of a person, two, or none.
    #[must_use]
    pub fn names(mut self, names: &[&str]) -> Self {
        self.names = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// One claim (the last number of its object identifier) that does not follow from the rest; `None` takes it away.
    #[must_use]
    pub fn claim(mut self, n: u32, value: Option<&str>) -> Self {
        self.claims.insert(n, value.map(str::to_owned));
        self
    }

    /// `owner/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The workflow's file, without its directory.
    pub fn workflow_file(&self) -> &str {
        &self.workflow
    }

    /// The forge.
    pub fn forge(&self) -> Forge {
        self.forge
    }

    /// The path of the workflow in the repository.
    pub fn workflow_path(&self) -> String {
        match self.forge {
            Forge::GitHub => format!(".github/workflows/{}", self.workflow),
            Forge::GitLab => self.workflow.clone(),
        }
    }

    /// The value of one claim.
    pub fn value(&self, n: u32) -> Option<String> {
        self.claims().remove(&n)
    }

    /// Every claim from `.1` to `.24`, by the last number of its object identifier.
    pub fn claims(&self) -> BTreeMap<u32, String> {
        let (host, default_issuer) = match self.forge {
            Forge::GitHub => ("https://github.com", "https://token.actions.githubusercontent.com"),
            Forge::GitLab => ("https://gitlab.com", "https://gitlab.com"),
        };
        let issuer = self.issuer.clone().unwrap_or_else(|| default_issuer.to_owned());
        let repository = format!("{host}/{}", self.repository);
        let owner = self.repository.split('/').next().unwrap_or_default();
        let (separator, run) = match self.forge {
            Forge::GitHub => ("/", format!("{repository}/actions/runs/{}/attempts/1", self.run)),
            Forge::GitLab => ("//", format!("{repository}/-/jobs/{}", self.run)),
        };
        let config = format!("{repository}{separator}{}@{}", self.workflow_path(), self.git_ref);
        let mut claims = BTreeMap::from([
            (1, issuer.clone()),
            (8, issuer),
            (9, config.clone()),
            (10, self.commit.clone()),
            (11, self.runner.clone()),
            (12, repository),
            (13, self.commit.clone()),
            (14, self.git_ref.clone()),
            (15, self.repository_id.clone()),
            (16, format!("{host}/{owner}")),
            (17, self.owner_id.clone()),
            (18, config),
            (19, self.commit.clone()),
            (20, self.trigger.clone()),
            (21, run),
            (22, "public".to_owned()),
            (24, format!("repo:{}:ref:{}", self.repository, self.git_ref)),
        ]);
        if self.forge == Forge::GitHub {
            let old = [&self.trigger, &self.commit, &self.workflow, &self.repository, &self.git_ref];
            claims.extend((2..=6).zip(old.map(Clone::clone)));
        }
        claims.extend(self.environment.clone().map(|name| (23, name)));
        for (n, value) in &self.claims {
            match value {
                Some(value) => claims.insert(*n, value.clone()),
                None => claims.remove(n),
            };
        }
        claims
    }

    /// The subject alternative names; by default the workflow with its ref.
    pub fn alternative_names(&self) -> Vec<String> {
        self.names.clone().unwrap_or_else(|| self.value(9).into_iter().collect())
    }

    /// Writes the names and the claims into a certificate.
    pub(super) fn write(&self, template: &mut Template) {
        let names = self.alternative_names();
        if !names.is_empty() {
            template.names(&names.iter().map(String::as_str).collect::<Vec<_>>());
        }
        for (n, value) in self.claims() {
            if n < 8 {
                template.set(extension::fulcio(n), false, value.into_bytes());
            } else {
                template.claim(n, &value);
            }
        }
    }
}

/// A number that stands for a name.
fn number(name: &str) -> String {
    let digest = Sha256::of(name.as_bytes()).0;
    u32::from_be_bytes([digest[0] | 1, digest[1], digest[2], digest[3]]).to_string()
}
