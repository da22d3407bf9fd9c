//! Name resolution for the HTTP client: looked up once, every answer checked, and only checked addresses handed out.
//!
//! The connection goes to one of exactly these addresses, so an answer that changes afterwards changes nothing
//! (threats.md P-18). Address literals never come here; [`crate::decide`] has judged them.

use std::{collections::HashSet, io, net::SocketAddr, pin::Pin};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::guard::{EgressRefusal, decide_address};

/// Where answers come from; replaced in tests.
pub(crate) trait Lookup: Send + Sync + 'static {
    /// All addresses of a host.
    fn lookup(&self, host: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
}

/// The resolver of the operating system.
pub(crate) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        let host = host.to_owned();
        // Port 0: the connector puts in that of the address.
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    }
}

/// The checking resolver.
pub(crate) struct GuardedResolver<L> {
    configured: HashSet<String>,
    lookup: L,
}

impl<L: Lookup> GuardedResolver<L> {
    /// Hosts in `configured` may resolve to any address, others to public ones only.
    pub(crate) fn new(configured: HashSet<String>, lookup: L) -> Self {
        Self { configured, lookup }
    }
}

impl<L: Lookup> Resolve for GuardedResolver<L> {
    fn resolve(&self, name: Name) -> Resolving {
        let configured = self.configured.contains(name.as_str());
        let answers = self.lookup.lookup(name.as_str());
        Box::pin(async move {
            let checked = checked(answers.await?, configured)?;
            Ok(Box::new(checked.into_iter()) as Addrs)
        })
    }
}

/// All answers, if every one is acceptable; one that is not refuses the lot.
fn checked(answers: Vec<SocketAddr>, configured: bool) -> Result<Vec<SocketAddr>, EgressRefusal> {
    answers.iter().try_for_each(|answer| decide_address(answer.ip(), configured))?;
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::range::SpecialRange;

    /// Gives the next list of answers at each lookup, as a rebinding name server does.
    #[derive(Clone, Default)]
    struct Scripted {
        answers: Arc<Mutex<Vec<Vec<SocketAddr>>>>,
        lookups: Arc<AtomicUsize>,
    }

    impl Lookup for Scripted {
        fn lookup(&self, _host: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
            self.lookups.fetch_add(1, Ordering::SeqCst);
            let answers = self.answers.lock().unwrap().remove(0);
            Box::pin(async move { Ok(answers) })
        }
    }

    fn scripted(answers: &[&[&str]]) -> Scripted {
        let parse = |text: &&str| SocketAddr::new(text.parse().unwrap(), 0);
        let answers = answers.iter().map(|list| list.iter().map(parse).collect()).collect();
        Scripted { answers: Arc::new(Mutex::new(answers)), ..Scripted::default() }
    }

    fn resolver(lookup: &Scripted) -> GuardedResolver<Scripted> {
        GuardedResolver::new(HashSet::from(["registry.example".to_owned()]), lookup.clone())
    }

    async fn resolve(resolver: &GuardedResolver<Scripted>, name: &str) -> Result<Vec<String>, EgressRefusal> {
        match resolver.resolve(name.parse().unwrap()).await {
            Ok(addresses) => Ok(addresses.map(|address| address.ip().to_string()).collect()),
            Err(error) => Err(*error.downcast::<EgressRefusal>().unwrap()),
        }
    }

    fn loopback() -> Result<Vec<String>, EgressRefusal> {
        Err(EgressRefusal::Address { address: [127, 0, 0, 1].into(), range: SpecialRange::Loopback })
    }

    #[tokio::test]
    async fn a_name_that_rebinds_is_refused_at_the_answer_that_is_private() {
        let lookup = scripted(&[&["1.0.0.1", "2a00::1"], &["127.0.0.1"]]);
        let resolver = resolver(&lookup);
        assert_eq!(
            resolve(&resolver, "other.example").await,
            Ok(vec!["1.0.0.1".to_owned(), "2a00::1".to_owned()])
        );
        assert_eq!(
            lookup.lookups.load(Ordering::SeqCst),
            1,
            "the addresses handed out are those that were checked"
        );
        assert_eq!(resolve(&resolver, "other.example").await, loopback());
    }

    #[tokio::test]
    async fn one_bad_answer_refuses_the_lot() {
        let lookup = scripted(&[&["1.0.0.1", "127.0.0.1"], &["1.0.0.1", "1.0.0.2"]]);
        let resolver = resolver(&lookup);
        assert_eq!(resolve(&resolver, "other.example").await, loopback());
        assert_eq!(resolve(&resolver, "other.example").await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_configured_host_may_be_anywhere_and_its_neighbour_may_not() {
        let lookup = scripted(&[&["127.0.0.1"], &["127.0.0.1"], &["127.0.0.1"]]);
        let resolver = resolver(&lookup);
        assert_eq!(resolve(&resolver, "registry.example").await, Ok(vec!["127.0.0.1".to_owned()]));
        assert_eq!(resolve(&resolver, "registry.example.").await, loopback());
        assert_eq!(resolve(&resolver, "sub.registry.example").await, loopback());
    }
}
