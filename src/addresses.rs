//! Which provider has the users of an e-mail address: one answer for everybody who has to know.
//!
//! In this order: a domain of our own, or one that stands for it (`mail_domains`); what `addresses.providers` says; a peer of the same
//! name; and, where `addresses.probe` lets it, what the domain itself says. It is asked for the directory that a provider publishes
//! at its own name: a redirect to the directory of a peer, or to ours, says whose the addresses are; a directory says that the
//! domain is a provider itself. No other redirect is followed and nothing that is said is taken for more than a name: whoever is no
//! peer that may come in is nobody here.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use portcullis_core::time::Millis;
use portcullis_core::wire::directory::{Directory, lifetime};
use portcullis_core::wire::uri::Domain;
use reqwest::header::{CACHE_CONTROL, HeaderMap, LOCATION};
use reqwest::{Client, Url};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::{Config, Probed};
use crate::outside;
use crate::peer::{DIRECTORY_LIMIT_BYTES, PeerList, directory_url, read};
use crate::telemetry::metrics;

/// Domains that are asked at once.
const AT_ONCE: usize = 8;
/// How long one may take to answer.
const LONGEST: Duration = Duration::from_secs(10);
/// How long what a domain says is used at least, whatever it says of that.
const SHORTEST_USE: Duration = Duration::from_secs(60);
/// How long a domain that says nothing of use is not asked again.
const NOTHING: Duration = Duration::from_secs(5 * 60);
/// Most domains of which it is kept what they said.
const MOST_KEPT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Longest part of an address before its `@`, in bytes (RFC 5321, section 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;

/// An e-mail address, as far as it matters here: the domain behind its `@`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    mail: Domain,
}

/// Not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an e-mail address such as `bob@b.example`")]
pub struct AddressError;

/// Who has the users of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The provider: we, or a peer that may come in.
    pub provider: Domain,
    /// Who says so.
    pub by: By,
}

/// What tells which provider it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// It is a domain of our own.
    Own,
    /// The configuration says so.
    Configuration,
    /// A peer has that name.
    Peer,
    /// The domain itself says so.
    Probe,
}

/// Why it is not known which provider has the users of a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Nothing says it, and the domain may not be asked.
    #[error("nothing says which provider has the addresses of `{0}`, and `addresses.probe` does not let it be asked")]
    Unknown(Domain),
    /// The domain was asked, and has named no provider.
    #[error("`{0}` names no provider that has its addresses")]
    NoProvider(Domain),
    /// The domain does not answer.
    #[error("`{0}` does not answer which provider has its addresses")]
    Silent(Domain),
    /// The provider is no peer, or one that may not come in.
    #[error("`{0}` has these addresses, and is no peer that may come in")]
    NoPeer(Domain),
    /// As many domains are being asked as may.
    #[error("as many domains are being asked as may")]
    Busy,
}

/// What is known of a domain before it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// What there is to know.
    Settled(Result<Resolved, Unresolved>),
    /// It is to be asked.
    ToBeAsked,
}

/// Finds the providers of addresses.
#[derive(Debug)]
pub struct Resolver {
    own: BTreeSet<Domain>,
    providers: BTreeMap<Domain, Domain>,
    probe: Vec<Probed>,
    client: Option<Client>,
    at_once: Semaphore,
    said: Mutex<LruCache<Domain, (Said, Millis)>>,
}

/// What a domain has said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// It is a provider.
    Itself,
    /// The directory of its provider is there.
    At(String),
    Nothing,
    /// It has not answered.
    Silent,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (local, mail) = text.rsplit_once('@').ok_or(AddressError)?;
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        if !(1..=LONGEST_LOCAL).contains(&local.len()) || !local.chars().all(plain) {
            return Err(AddressError);
        }
        let mail = Domain::parse(&mail.to_ascii_lowercase()).map_err(|_| AddressError)?;
        // Numbers are an address of a host and no name.
        if directory_at(&mail).is_some() { Ok(Self { mail }) } else { Err(AddressError) }
    }
}

impl Address {
    /// What stands behind the `@`.
    pub fn domain(&self) -> &Domain {
        &self.mail
    }
}

impl By {
    /// Its name in records and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Configuration => "configuration",
            Self::Peer => "peer",
            Self::Probe => "probe",
        }
    }
}

impl Unresolved {
    /// Its name in records and answers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::NoProvider(_) => "no_provider",
            Self::Silent(_) => "silent",
            Self::NoPeer(_) => "no_peer",
            Self::Busy => "busy",
        }
    }
}

impl Resolver {
    /// What a configuration says; asks nobody yet.
    ///
    /// # Errors
    ///
    /// When a file of `assets.trust` cannot be read.
    pub fn new(config: &Config) -> std::io::Result<Self> {
        let mail_domains = config.listeners.directory.iter().flat_map(|door| &door.mail_domains);
        let named = mail_domains.filter_map(|(mail, domain)| Some((Domain::parse(mail).ok()?, domain.clone())));
        let said = config.addresses.providers.iter().map(|(mail, provider)| (mail.clone(), provider.clone()));
        let probe = config.addresses.probe.clone();
        Ok(Self {
            own: config.domains.iter().cloned().collect(),
            providers: named.chain(said).collect(),
            client: if probe.is_empty() { None } else { outside::client(&config.assets)? },
            probe,
            at_once: Semaphore::new(AT_ONCE),
            said: Mutex::new(LruCache::new(MOST_KEPT)),
        })
    }

    /// What is known without asking anybody: by the configuration, by the list of peers, and of what the domain said before.
    pub fn known(&self, peers: &PeerList, mail: &Domain, now: Millis) -> Known {
        if self.own.contains(mail) {
            return Known::Settled(Ok(Resolved { provider: mail.clone(), by: By::Own }));
        }
        if let Some(provider) = self.providers.get(mail) {
            return Known::Settled(self.admitted(peers, provider, By::Configuration));
        }
        // Of a peer that is kept out nothing is asked either.
        if peers.standing(mail).is_some() {
            return Known::Settled(self.admitted(peers, mail, By::Peer));
        }
        let may = |probed: &Probed| match probed {
            Probed::Any => true,
            Probed::Domain(domain) => domain == mail,
        };
        if !self.probe.iter().any(may) {
            return Known::Settled(Err(Unresolved::Unknown(mail.clone())));
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match said.get(mail).filter(|(_, until)| now < *until) {
            Some((said, _)) => Known::Settled(self.meant(peers, mail, said)),
            None => Known::ToBeAsked,
        }
    }

    /// Asks a domain that is [`Known::ToBeAsked`], which of its words is used for as long as it says, a minute at least and a day at
    /// most; a domain that says nothing of use is left alone for five minutes.
    ///
    /// # Errors
    ///
    /// [`Unresolved`].
    pub async fn ask(&self, peers: &PeerList, mail: &Domain, now: Millis) -> Result<Resolved, Unresolved> {
        let _turn = self.at_once.try_acquire().map_err(|_| Unresolved::Busy)?;
        let (said, kept) = match timeout(LONGEST, self.probed(mail)).await {
            Ok(Some(heard)) => heard,
            Ok(None) | Err(_) => (Said::Silent, NOTHING),
        };
        let meant = self.meant(peers, mail, &said);
        metrics::probed(meant.as_ref().map_or_else(Unresolved::name, |_| "resolved"));
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        all.put(mail.clone(), (said, now.plus(kept)));
        meant
    }

    async fn probed(&self, mail: &Domain) -> Option<(Said, Duration)> {
        let response = self.client.as_ref()?.get(directory_at(mail)?).send().await.ok()?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let kept = used_for(response.headers());
        match response.status().as_u16() {
            301 | 302 | 307 | 308 => Some(match header(LOCATION) {
                Some(location) => (Said::At(response.url().join(location).ok()?.to_string()), kept),
                None => (Said::Nothing, NOTHING),
            }),
            200 => {
                let body = read(response, DIRECTORY_LIMIT_BYTES).await.ok()?;
                let directory = body.and_then(|body| Directory::parse(&body).ok());
                let serves = directory.is_some_and(|directory| directory.address("keyMaterial").is_some());
                Some(if serves { (Said::Itself, kept) } else { (Said::Nothing, NOTHING) })
            }
            400..=499 => Some((Said::Nothing, NOTHING)),
            _ => None,
        }
    }

    /// What follows from it, as we stand with others now.
    fn meant(&self, peers: &PeerList, mail: &Domain, said: &Said) -> Result<Resolved, Unresolved> {
        match said {
            Said::Itself => self.admitted(peers, mail, By::Probe),
            Said::At(directory) => {
                let own = self.own.iter().find(|own| directory_at(own).is_some_and(|url| url.as_str() == directory));
                let provider = own.cloned().or_else(|| peers.with_directory(directory));
                let provider = provider.ok_or_else(|| Unresolved::NoProvider(mail.clone()))?;
                self.admitted(peers, &provider, By::Probe)
            }
            Said::Nothing => Err(Unresolved::NoProvider(mail.clone())),
            Said::Silent => Err(Unresolved::Silent(mail.clone())),
        }
    }

    fn admitted(&self, peers: &PeerList, provider: &Domain, by: By) -> Result<Resolved, Unresolved> {
        let in_here = self.own.contains(provider) || peers.admits(provider).is_some();
        let resolved = || Resolved { provider: provider.clone(), by };
        in_here.then(resolved).ok_or_else(|| Unresolved::NoPeer(provider.clone()))
    }
}

/// Where a provider of this name has its directory; `None` for what is no name.
fn directory_at(domain: &Domain) -> Option<Url> {
    let url = Url::parse(&directory_url(domain)).ok()?;
    (url.domain() == Some(domain.as_str())).then_some(url)
}

/// How long an answer is used.
fn used_for(headers: &HeaderMap) -> Duration {
    let cache_control = headers.get(CACHE_CONTROL).and_then(|header| header.to_str().ok());
    lifetime(cache_control).max(SHORTEST_USE)
}

#[cfg(test)]
mod tests {
    use portcullis_store::standings::{Decided, Standing};
    use uuid::Uuid;

    use super::*;
    use crate::config;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn resolver(probe: Vec<Probed>) -> Resolver {
        Resolver {
            own: BTreeSet::from([domain("a.example")]),
            providers: BTreeMap::from([
                (domain("mail.b.example"), domain("b.example")),
                (domain("z.example"), domain("elsewhere.example")),
            ]),
            probe,
            client: None,
            at_once: Semaphore::new(AT_ONCE),
            said: Mutex::new(LruCache::new(MOST_KEPT)),
        }
    }

    fn peers() -> PeerList {
        let list = PeerList::new([config::Peer::named(domain("b.example")), config::Peer::named(domain("c.example"))]);
        let (by, reason) = ("operator:ops".to_owned(), "CASE-7".to_owned());
        let standing = Standing::Blocked;
        let domain = domain("c.example");
        list.replace([Decided { domain, standing, by, at: Millis(1), reason, decision: Uuid::nil() }]);
        list
    }

    fn found(provider: &str, by: By) -> Known {
        Known::Settled(Ok(Resolved { provider: domain(provider), by }))
    }

    #[test]
    fn an_address_has_one_name_behind_its_at_sign_and_something_before_it() {
        for (text, mail) in [("bob@b.example", "b.example"), ("\"a@b\"@B.Example", "b.example")] {
            assert_eq!(text.parse::<Address>().unwrap().domain().as_str(), mail);
        }
        let long = format!("{}@b.example", "x".repeat(65));
        for text in ["b.example", "@b.example", "bob@", "bob@localhost", "bob@b.example.", "bob@127.0.0.1", "bob@[::1]"]
        {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text}");
        }
        for text in [&long, "b ob@b.example", "bob@bücher.example", "bob@b.example\n", "bob@0x7f.1"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text}");
        }
    }

    #[test]
    fn who_is_known_is_not_asked_and_who_is_no_peer_that_may_come_in_has_nobody() {
        let resolver = resolver(vec![Probed::Any]);
        let (peers, now) = (peers(), Millis(0));
        let known = |mail: &str| resolver.known(&peers, &domain(mail), now);
        assert_eq!(known("a.example"), found("a.example", By::Own));
        assert_eq!(known("mail.b.example"), found("b.example", By::Configuration));
        assert_eq!(known("b.example"), found("b.example", By::Peer));
        for (mail, provider) in [("z.example", "elsewhere.example"), ("c.example", "c.example")] {
            assert_eq!(known(mail), Known::Settled(Err(Unresolved::NoPeer(domain(provider)))), "{mail}");
        }
        assert_eq!(known("d.example"), Known::ToBeAsked);
    }

    #[test]
    fn nobody_is_asked_unless_it_is_named() {
        let resolver = resolver(vec![Probed::Domain(domain("d.example"))]);
        let known = |mail: &str| resolver.known(&peers(), &domain(mail), Millis(0));
        assert_eq!(known("d.example"), Known::ToBeAsked);
        assert_eq!(known("e.example"), Known::Settled(Err(Unresolved::Unknown(domain("e.example")))));
        assert_eq!(known("sub.d.example"), Known::Settled(Err(Unresolved::Unknown(domain("sub.d.example")))));
    }

    #[test]
    fn a_redirect_counts_where_it_leads_to_the_directory_of_who_may_come_in_and_only_as_long() {
        let (resolver, mail) = (resolver(vec![Probed::Any]), domain("d.example"));
        let at = |host: &str| Said::At(format!("https://{host}/.well-known/mimi-protocol-directory"));
        let meant = |peers: &PeerList, said: &Said| resolver.meant(peers, &mail, said);
        let list = peers();
        let probed = |provider: &str| Ok(Resolved { provider: domain(provider), by: By::Probe });
        assert_eq!(meant(&list, &at("b.example")), probed("b.example"));
        assert_eq!(meant(&list, &at("a.example")), probed("a.example"));
        assert_eq!(meant(&list, &at("c.example")), Err(Unresolved::NoPeer(domain("c.example"))));
        for nowhere in [at("e.example"), at("b.example:8443"), Said::At("https://b.example/".to_owned()), Said::Nothing]
        {
            assert_eq!(meant(&list, &nowhere), Err(Unresolved::NoProvider(mail.clone())), "{nowhere:?}");
        }
        assert_eq!(meant(&list, &Said::Itself), Err(Unresolved::NoPeer(mail.clone())), "it is a provider, and no peer");
        assert_eq!(meant(&PeerList::new([]), &at("b.example")), Err(Unresolved::NoProvider(mail.clone())));
    }

    #[tokio::test]
    async fn a_domain_that_does_not_answer_is_left_alone_for_a_while() {
        let (resolver, mail) = (resolver(vec![Probed::Any]), domain("d.example"));
        let peers = peers();
        let silent = Err(Unresolved::Silent(mail.clone()));
        assert_eq!(resolver.ask(&peers, &mail, Millis(0)).await, silent);
        let known = |at| resolver.known(&peers, &mail, Millis(at));
        assert_eq!(known(299_999), Known::Settled(silent));
        assert_eq!(known(300_000), Known::ToBeAsked);
        let _all = resolver.at_once.acquire_many(8).await.unwrap();
        assert_eq!(resolver.ask(&peers, &mail, Millis(300_000)).await, Err(Unresolved::Busy));
    }
}
