//! Who federates with us: the peers of the configuration, and above them what operators have decided since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use portcullis_core::wire::uri::Domain;
use portcullis_store::standings::{Decided, Standing};

/// The list as this process knows it; what was decided is read from the database and put here.
#[derive(Debug, Default)]
pub struct PeerList {
    /// The peers of the configuration, with the pinned key of each that has one.
    configured: BTreeMap<Domain, Option<String>>,
    decided: RwLock<Arc<BTreeMap<Domain, Decided>>>,
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
}

impl PeerList {
    /// The peers of a configuration, each with its pinned key.
    pub fn new(configured: impl IntoIterator<Item = (Domain, Option<String>)>) -> Self {
        Self { configured: configured.into_iter().collect(), decided: RwLock::default() }
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

    /// Whether the provider may come in, and with which key: `None` for one that may not, `Some(None)` for one without
    /// a pin.
    pub fn admits(&self, domain: &Domain) -> Option<Option<&str>> {
        match self.standing(domain)? {
            Standing::Allowed | Standing::Suspended => Some(self.configured.get(domain).and_then(Option::as_deref)),
            Standing::Blocked => None,
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
        let domains: BTreeSet<&Domain> = self.configured.keys().chain(decided.keys()).collect();
        let listed = domains.into_iter().filter_map(|domain| {
            Some(Listed {
                domain: domain.clone(),
                standing: self.standing(domain)?,
                configured: self.is_configured(domain),
                decided: decided.get(domain).cloned(),
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
    use portcullis_core::time::Millis;
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
        let list = PeerList::new([(domain("b.example"), Some("pin".to_owned()))]);
        let (b, c) = (domain("b.example"), domain("c.example"));
        assert_eq!((list.admits(&b), list.admits(&c)), (Some(Some("pin")), None));
        assert!(list.replace([decided("b.example", Standing::Blocked), decided("c.example", Standing::Allowed)]));
        assert_eq!((list.admits(&b), list.admits(&c)), (None, Some(None)));
        assert_eq!(list.suspended(), BTreeSet::from([b.clone()]));
        assert!(list.replace([decided("b.example", Standing::Suspended)]));
        assert_eq!((list.admits(&b), list.admits(&c)), (Some(Some("pin")), None));
        assert_eq!(list.suspended(), BTreeSet::from([b.clone()]));
        assert!(!list.replace([decided("b.example", Standing::Suspended)]));
        assert!(list.replace([]));
        assert_eq!((list.admits(&b), list.suspended().len()), (Some(Some("pin")), 0));
    }
}
