//! Users, with what is known of them.

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, RestrictedExpression};

use crate::policy::attributes::Attributes;
use crate::wire::uri::UserUri;

use super::{FactsError, Slice, boolean, long, set, text};

impl Slice<'_> {
    pub(super) fn user(&mut self, user: &UserUri) -> Result<EntityUid, FactsError> {
        let uid = self.vocabulary.user(user);
        if !self.entities.contains_key(&uid) {
            let provider = self.provider(&user.domain())?;
            let known = Attributes::of(self.directory, user);
            let segments = known.segments.iter().map(|(name, _)| self.mark(&self.vocabulary.segment, name));
            let segments: BTreeSet<EntityUid> = segments.collect();
            let mut attributes = vec![
                ("uri", text(user.as_str())),
                ("provider", self.refer(provider.clone())),
                ("service", boolean(user.is_provider())),
                ("employment", text(known.employment.0.name())),
                ("clearance", long(known.clearance.0)),
                ("segments", set(segments.iter().cloned().map(RestrictedExpression::new_entity_uid))),
                ("suspended", boolean(known.suspended.0)),
            ];
            attributes.extend(known.jurisdiction.map(|(law, _)| ("jurisdiction", text(law))));
            attributes.extend(known.department.map(|(name, _)| ("department", text(name))));
            attributes.extend(known.organization.map(|(name, _)| ("organization", text(name))));
            attributes.extend(known.manager.map(|(manager, _)| ("manager", text(manager.as_str()))));
            attributes.extend(known.managed.map(|(managed, _)| ("managed", boolean(managed))));
            // An older schema may not declare what is not always known: its policies cannot ask for it.
            attributes.retain(|(name, _)| self.vocabulary.has(name));
            let parents = segments.into_iter().chain([provider]).collect();
            self.insert(&uid, attributes, parents, Vec::new())?;
        }
        Ok(uid)
    }
}
