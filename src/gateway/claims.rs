use portcullis_core::wire::uri::{Domain, UserUri};

use crate::config::Limits;
use crate::limits::{Limiter, TooMany};

/// How often one may ask for what users have: their KeyPackages (reading D-21), their consent (reading D-48),
/// their names (reading D-49) and their files (reading D-57). A peer that says it is a hub chooses the requester, so that a
/// limit of each requester alone would not keep it from taking everything a user has.
pub struct Claims {
    /// By caller, requester and target.
    requesters: Limiter<(Domain, UserUri, UserUri)>,
    /// By caller and target.
    providers: Limiter<(Domain, UserUri)>,
    /// By who acts.
    consents: Limiter<UserUri>,
    /// By who asks: a user, or a provider as such.
    searches: Limiter<UserUri>,
    /// By who asks, as with searches.
    downloads: Limiter<UserUri>,
}

impl Claims {
    /// Full buckets.
    pub fn new(limits: &Limits) -> Self {
        Self {
            requesters: Limiter::new(limits.claims),
            providers: Limiter::new(limits.claims_by_provider),
            consents: Limiter::new(limits.consents),
            searches: Limiter::new(limits.searches),
            downloads: Limiter::new(limits.downloads),
        }
    }

    /// Counts one claim of `target`'s KeyPackages by `requester`, handed in by `caller`.
    ///
    /// # Errors
    ///
    /// [`TooMany`]. A requester beyond its own limit takes nothing from what its provider may claim for others.
    pub(super) fn take(&self, caller: &Domain, requester: &UserUri, target: &UserUri) -> Result<(), TooMany> {
        self.requesters.take(&(caller.clone(), requester.clone(), target.clone()))?;
        self.providers.take(&(caller.clone(), target.clone()))
    }

    /// Counts one query of `actor`.
    ///
    /// # Errors
    ///
    /// [`TooMany`].
    pub(super) fn take_search(&self, actor: &UserUri) -> Result<(), TooMany> {
        self.searches.take(actor)
    }

    /// Counts one download for `actor`.
    ///
    /// # Errors
    ///
    /// [`TooMany`].
    pub(super) fn take_download(&self, actor: &UserUri) -> Result<(), TooMany> {
        self.downloads.take(actor)
    }

    /// Counts one step of `actor` towards the consent of another user.
    ///
    /// # Errors
    ///
    /// [`TooMany`].
    pub(super) fn take_consent(&self, actor: &UserUri) -> Result<(), TooMany> {
        self.consents.take(actor)
    }
}
