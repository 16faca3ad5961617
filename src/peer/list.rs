//! Who federates with us: the peers of the configuration, and above them what operators have decided since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use portcullis_store::standings::{Decided, Standing};

use super::{CertificateEnd, PeerCard, directory_url};
use crate::config;

/// The list as this process knows it; what was decided is read from the database and put here.
#[derive(Debug, Default)]
pub struct PeerList {
    configured: BTreeMap<Domain, config::Peer>,
    decided: RwLock<Arc<BTreeMap<Domain, Decided>>>,
    /// What providers say of themselves whom the configuration does not name; with the reason where it cannot be read.
    cards: RwLock<Arc<BTreeMap<Domain, Result<PeerCard, String>>>>,
    /// The certificates that peers have shown last.
    shown: RwLock<BTreeMap<Domain, CertificateEnd>>,
}

/// A provider that is on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The provider.
    pub domain: Domain,
    /// How we stand with it.
    pub standing: Standing,
    /// Whether the configuration names it.
    pub configured: bool,
    /// What an operator has decided about it.
    pub decided: Option<Decided>,
    /// What is known of it: by the configuration, or else by its card.
    pub known: config::Peer,
    /// When the certificate ends that it has shown last, to this process.
    pub certificate_until: Option<Millis>,
}

impl PeerList {
    /// The peers of a configuration.
    pub fn new(configured: impl IntoIterator<Item = config::Peer>) -> Self {
        let configured = configured.into_iter().map(|peer| (peer.domain.clone(), peer)).collect();
        Self { configured, ..Self::default() }
    }

    /// Puts the cards of providers in the place of those that were known. One that cannot be read stands with the reason: its
    /// provider is not one without a pin. Tells whether that changes anything.
    pub fn replace_cards(&self, cards: impl IntoIterator<Item = (Domain, Result<PeerCard, String>)>) -> bool {
        let cards: BTreeMap<Domain, Result<PeerCard, String>> = cards.into_iter().collect();
        let mut known = self.cards.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **known != cards;
        if changed {
            *known = Arc::new(cards);
        }
        changed
    }

    /// Why cards cannot be read, by their domains.
    pub fn unreadable_cards(&self) -> BTreeMap<Domain, String> {
        let cards = Arc::clone(&self.cards.read().unwrap_or_else(PoisonError::into_inner));
        let unreadable = cards.iter().filter_map(|(domain, card)| Some((domain.clone(), card.as_ref().err()?.clone())));
        unreadable.collect()
    }

    /// What is known of a provider: what the configuration says stands above its card. `None` where that is a card which cannot
    /// be read: nobody knows which keys are its provider's.
    pub fn known(&self, domain: &Domain) -> Option<config::Peer> {
        if let Some(peer) = self.configured.get(domain) {
            return Some(peer.clone());
        }
        let cards = Arc::clone(&self.cards.read().unwrap_or_else(PoisonError::into_inner));
        match cards.get(domain) {
            None => Some(config::Peer::named(domain.clone())),
            Some(Ok(card)) => Some(card.peer(domain.clone())),
            Some(Err(_)) => None,
        }
    }

    /// The same to be shown: of one whose card cannot be read, its name.
    pub fn shown_as(&self, domain: &Domain) -> config::Peer {
        self.known(domain).unwrap_or_else(|| config::Peer::named(domain.clone()))
    }

    /// The providers who may come in and keep files of their users at this host.
    pub fn with_asset_host(&self, host: &Domain) -> Vec<Domain> {
        let decided = self.decided();
        let all: BTreeSet<&Domain> = self.configured.keys().chain(decided.keys()).collect();
        let keeps = |domain: &&Domain| {
            let known = self.admits(domain).and_then(|_| self.known(domain));
            known.is_some_and(|known| known.asset_hosts.iter().any(|own| own == host.as_str()))
        };
        all.into_iter().filter(keeps).cloned().collect()
    }

    /// The provider on the list whose directory is there, however we stand with it.
    pub fn with_directory(&self, url: &str) -> Option<Domain> {
        let there = |listed: &Listed| {
            let said = self.known(&listed.domain).map(|known| known.directory);
            said.is_some_and(|said| said.unwrap_or_else(|| directory_url(&listed.domain)) == url)
        };
        self.all().into_iter().find(there).map(|listed| listed.domain)
    }

    /// Notes the certificate that a peer shows.
    pub fn note(&self, end: &CertificateEnd) {
        let same = |shown: &BTreeMap<Domain, CertificateEnd>| shown.get(&end.domain) == Some(end);
        if !same(&self.shown.read().unwrap_or_else(PoisonError::into_inner)) {
            let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
            shown.insert(end.domain.clone(), end.clone());
        }
    }

    /// The certificates that peers have shown last.
    pub fn shown(&self) -> Vec<CertificateEnd> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Puts everything that operators have decided in the place of what was known of it. Tells whether that changes
    /// anything.
    pub fn replace(&self, decided: impl IntoIterator<Item = Decided>) -> bool {
        let decided: BTreeMap<Domain, Decided> =
            decided.into_iter().map(|decided| (decided.domain.clone(), decided)).collect();
        let mut known = self.decided.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **known != decided;
        if changed {
            *known = Arc::new(decided);
        }
        changed
    }

    /// How we stand with a provider; `None` for one that nobody has ever allowed.
    pub fn standing(&self, domain: &Domain) -> Option<Standing> {
        let decided = self.decided().get(domain).map(|decided| decided.standing);
        decided.or_else(|| self.is_configured(domain).then_some(Standing::Allowed))
    }

    /// Whether the configuration names the provider.
    pub fn is_configured(&self, domain: &Domain) -> bool {
        self.configured.contains_key(domain)
    }

    /// Whether the provider may come in, and with which keys: `None` for one that may not or whose card cannot be read, any key
    /// for one without a pin.
    pub fn admits(&self, domain: &Domain) -> Option<Vec<String>> {
        match self.standing(domain)? {
            Standing::Allowed | Standing::Suspended => self.known(domain).map(|known| known.spki),
            Standing::Blocked | Standing::Pending => None,
        }
    }

    /// Providers with which there is to be no new business.
    pub fn suspended(&self) -> BTreeSet<Domain> {
        let decided = self.decided();
        let suspended = decided.values().filter(|decided| decided.standing != Standing::Allowed);
        suspended.map(|decided| decided.domain.clone()).collect()
    }

    /// Everybody on the list, in the order of their names.
    pub fn all(&self) -> Vec<Listed> {
        let decided = self.decided();
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let domains: BTreeSet<&Domain> = self.configured.keys().chain(decided.keys()).collect();
        let listed = domains.into_iter().filter_map(|domain| {
            Some(Listed {
                domain: domain.clone(),
                standing: self.standing(domain)?,
                configured: self.is_configured(domain),
                decided: decided.get(domain).cloned(),
                known: self.shown_as(domain),
                certificate_until: shown.get(domain).map(|end| end.until),
            })
        });
        listed.collect()
    }

    fn decided(&self) -> Arc<BTreeMap<Domain, Decided>> {
        Arc::clone(&self.decided.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn decided(name: &str, standing: Standing) -> Decided {
        let (by, reason) = ("operator:ops".to_owned(), "CASE-7".to_owned());
        Decided { domain: domain(name), standing, by, at: Millis(1), reason, decision: Uuid::nil() }
    }

    #[test]
    fn what_is_decided_stands_above_the_configuration_until_it_is_decided_otherwise() {
        let pinned = config::Peer { spki: vec!["pin".to_owned()], ..config::Peer::named(domain("b.example")) };
        let list = PeerList::new([pinned]);
        let (b, c) = (domain("b.example"), domain("c.example"));
        assert_eq!((list.admits(&b), list.admits(&c)), (Some(vec!["pin".to_owned()]), None));
        assert!(list.replace([decided("b.example", Standing::Blocked), decided("c.example", Standing::Allowed)]));
        assert_eq!((list.admits(&b), list.admits(&c)), (None, Some(Vec::new())));
        assert_eq!(list.suspended(), BTreeSet::from([b.clone()]));
        assert!(list.replace([decided("b.example", Standing::Suspended)]));
        assert_eq!((list.admits(&b), list.admits(&c)), (Some(vec!["pin".to_owned()]), None));
        assert_eq!(list.suspended(), BTreeSet::from([b.clone()]));
        assert!(!list.replace([decided("b.example", Standing::Suspended)]));
        assert!(list.replace([decided("c.example", Standing::Pending)]));
        assert_eq!((list.admits(&c), list.suspended().len()), (None, 1), "whoever has not been let in is not in");
        assert!(list.replace([]));
        assert_eq!((list.admits(&b), list.suspended().len()), (Some(vec!["pin".to_owned()]), 0));
    }

    #[test]
    fn a_card_that_cannot_be_read_takes_no_pin_away() {
        let pins = vec!["ab".repeat(32)];
        let list = PeerList::new([config::Peer { spki: pins.clone(), ..config::Peer::named(domain("b.example")) }]);
        let (b, c) = (domain("b.example"), domain("c.example"));
        assert!(list.replace([decided("c.example", Standing::Allowed)]));
        let broken = || [&b, &c].map(|of| (of.clone(), PeerCard::parse("{}")));
        assert!(list.replace_cards(broken()) && !list.replace_cards(broken()));
        assert_eq!(list.unreadable_cards().into_keys().collect::<Vec<_>>(), [b.clone(), c.clone()]);
        assert_eq!((list.admits(&c), list.known(&c)), (None, None), "it is refused in both directions");
        assert_eq!(list.admits(&b), Some(pins), "what the configuration says stands above any card");
        assert_eq!(list.all().len(), 2, "operators see it still");
    }
}
