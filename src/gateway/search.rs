//! Who is known under a name: profiles that users of ours want to be found by, and queries for them (reading D-49).
//!
//! Whoever is hidden, by its own wish or by policy, is looked for and decided about like everybody else and left out of
//! the answer only, so that neither the answer nor the time it takes tells such a user from none.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::web::Bytes;
use portcullis_core::policy::{DoorAct, DoorQuestion};
use portcullis_core::search::{self, Field, Term};
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::Dictionary;
use portcullis_core::wire::identifier_query::{
    IdentifierQueryCode, IdentifierRequest, IdentifierResponse, ProfileField, QueryElement, UserProfile,
};
use portcullis_core::wire::uri::{Domain, UserUri};
use portcullis_store::profiles::{self, Profile};
use portcullis_store::{StoreError, Tx, answers};
use serde_json::{Value, json};
use uuid::Uuid;

use super::decide::{Case, Decision};
use super::devices;
use super::once::{Kept, Once};
use super::places::Of;
use super::policy::Active;
use super::{Answer, Caller, Gateway, GatewayError, Inner, forward};
use crate::addresses::{Address, Known};
use crate::peer::Endpoint;

/// Most fields of a profile.
const MOST_FIELDS: usize = 64;

/// Longest value of a field, in bytes.
const LONGEST_VALUE: usize = 1024;

/// Users that are looked at together, and for one query at most: a query that fits more is ambiguous, however few of them may be
/// shown.
const PAGE: u32 = 64;
const MOST_LOOKED_AT: usize = 1024;

impl Gateway {
    /// Puts a profile in the place of what a user of ours has said of itself before. Gives the decision.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Decode`] for more than 64 fields or a value of more than 1024 bytes, [`GatewayError::Refused`] by
    /// policy, [`GatewayError::NotFound`] for a user that is not registered.
    pub async fn put_profile(&self, user: UserUri, profile: Profile) -> Result<Uuid, GatewayError> {
        let of = vec![Of::User(user.clone())];
        self.0.blocking(of, move |inner| put(inner, &user, profile)).await
    }

    /// What a user of ours has said of itself.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] of the database.
    pub async fn profile(&self, user: UserUri) -> Result<Profile, GatewayError> {
        let of = vec![Of::User(user.clone())];
        self.0.blocking(of, move |inner| Ok(inner.store.read(|conn| profiles::find(conn, &user))?)).await
    }

    /// Answers an IdentifierRequest about users of `domain`: from our own profiles, or by asking the provider.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; what the protocol can refuse is an answer. [`GatewayError::NotFound`] for a provider that asks
    /// about users of another one, [`GatewayError::TooMany`] beyond the limit of the caller.
    pub async fn search(&self, once: Once, caller: Caller, domain: Domain, body: Bytes) -> Result<Kept, GatewayError> {
        let request = super::decode::<IdentifierRequest>(&body)?;
        let (inner, of) = (&self.0, vec![Of::from(&caller)]);
        if inner.is_ours(&domain) {
            return inner
                .blocking(of, move |inner| Query::new(inner, &caller, &domain, &body, request)?.answer(once))
                .await;
        }
        let Caller::User(user) = &caller else { return Err(GatewayError::NotFound) };
        let (own, asked) = (user.domain(), (domain.clone(), body.clone()));
        let decided = move |inner: &Arc<Inner>| {
            let (domain, body) = asked;
            Query::new(inner, &caller, &domain, &body, request)?.leave(once)
        };
        let (lane, decision) = match inner.blocking(of, decided).await? {
            Ok(decided) => decided,
            Err(refused) => return Ok(refused),
        };
        let answer = forward::send(inner, once, &own, &domain, Endpoint::IdentifierQuery(domain.clone()), body).await?;
        IdentifierResponse::decode(&answer).map_err(GatewayError::peer)?;
        inner.keep_passed_on(once, &lane, Answer { body: answer, decision: Some(decision) }).await
    }

    /// The same about the one e-mail address in the request, at the provider that has it. Before a domain is asked which that is,
    /// policy decides about it as about a provider of that name.
    ///
    /// # Errors
    ///
    /// As [`Self::search`]; [`GatewayError::Decode`] for a request with no address or more than one.
    pub async fn search_by_address(&self, once: Once, user: UserUri, body: Bytes) -> Result<Kept, GatewayError> {
        let request = super::decode::<IdentifierRequest>(&body)?;
        let (inner, caller) = (&self.0, Caller::User(user.clone()));
        let mail = address(&request)?.domain().clone();
        let known = inner.addresses.known(inner.peers.list(), &mail, inner.clock.now());
        if let Known::Settled(Ok(resolved)) = known {
            return self.search(once, caller, resolved.provider, body).await;
        }
        let (of, asked, by) = (vec![Of::from(&caller)], (mail.clone(), body.clone()), caller.clone());
        let decided = move |inner: &Arc<Inner>| {
            let (mail, body) = asked;
            Query::new(inner, &by, &mail, &body, request)?.leave(once)
        };
        let (lane, decision) = match inner.blocking(of, decided).await? {
            Ok(decided) => decided,
            Err(refused) => return Ok(refused),
        };
        let said = match known {
            Known::Settled(settled) => settled,
            Known::ToBeAsked => inner.ask_domain(&mail, user.to_string()).await?,
        };
        match said {
            Ok(resolved) => self.search(once, caller, resolved.provider, body).await,
            Err(_) => {
                let nobody = response(IdentifierQueryCode::NotFound, Vec::new());
                inner.keep_passed_on(once, &lane, Answer { body: nobody, decision: Some(decision) }).await
            }
        }
    }
}

/// The one e-mail address in a request.
fn address(request: &IdentifierRequest) -> Result<Address, GatewayError> {
    let mut all = request.elements.iter().filter_map(|element| match element {
        QueryElement::Email { value } => Some(value),
        _ => None,
    });
    match (all.next(), all.next()) {
        (Some(one), None) => one.parse().map_err(GatewayError::decode),
        (None, _) | (Some(_), Some(_)) => Err(GatewayError::decode("expected one e-mail address to look for")),
    }
}

fn put(inner: &Inner, user: &UserUri, profile: Profile) -> Result<Uuid, GatewayError> {
    if profile.fields.len() > MOST_FIELDS {
        return Err(GatewayError::decode(format!("a profile has at most {MOST_FIELDS} fields")));
    }
    let fits = |value: &str| (1..=LONGEST_VALUE).contains(&value.len()) && !value.chars().any(char::is_control);
    if !profile.fields.iter().all(|field| fits(&field.value)) {
        return Err(GatewayError::decode(format!("a value has 1 to {LONGEST_VALUE} bytes and no control characters")));
    }
    let decision = devices::allowed(inner, Once::unnamed(), user, DoorAct::PublishProfile, "decision.profile")?;
    let (owner, id, now) = (user.clone(), decision.id(), inner.clock.now());
    Ok(inner.store.write(user.as_str(), move |tx: &mut Tx<'_>| {
        profiles::put(tx, &owner, &profile, now)?;
        tx.stage(&decision.record)?;
        Ok::<_, StoreError>(id)
    })?)
}

/// A query that has been decided.
struct Query<'a> {
    inner: &'a Inner,
    active: Arc<Active>,
    /// Who asks: a user, or a provider for one that it does not name.
    actor: UserUri,
    source: Domain,
    door: &'a Domain,
    request: IdentifierRequest,
    decision: Decision,
}

/// Most verdicts about users that a record lists; those that deny come first.
const LISTED: usize = 99;

/// Who was found, and how many were left out.
#[derive(Default)]
struct Found {
    profiles: Vec<UserProfile>,
    withheld: usize,
    /// What policy said of users, as far as the record lists it: what it denied, and what it allowed.
    verdicts: [Vec<Value>; 2],
    /// Of how many users it was asked.
    asked: usize,
    /// There are more than are told.
    more: bool,
}

impl<'a> Query<'a> {
    fn new(
        inner: &'a Inner,
        caller: &Caller,
        door: &'a Domain,
        body: &[u8],
        request: IdentifierRequest,
    ) -> Result<Self, GatewayError> {
        let source = caller.domain();
        let actor = match caller {
            Caller::Peer(domain) => UserUri::provider(domain),
            Caller::User(user) => user.clone(),
        };
        inner.claims.take_search(&actor)?;
        let (active, now) = (inner.policy.active(), inner.clock.now());
        let case = case(&actor, &source, Some(answers::scope(&[body])), now);
        let question = DoorQuestion { act: DoorAct::Search, actor: &actor, door, source: &source, now };
        let decision = case.decide_door(&active, &question);
        Ok(Self { inner, active, actor, source, door, request, decision })
    }

    /// Lets a query of a user of ours leave, or answers the refusal.
    fn leave(self, once: Once) -> Result<Result<(String, Uuid), Kept>, GatewayError> {
        let lane = self.actor.to_string();
        if !self.decision.allow {
            let refused = response(IdentifierQueryCode::Forbidden, Vec::new());
            return self.inner.answer_refusal(once, &lane, self.decision, refused).map(Err);
        }
        self.inner.record(&lane, &self.decision)?;
        Ok(Ok((lane, self.decision.id())))
    }

    fn answer(mut self, once: Once) -> Result<Kept, GatewayError> {
        let (code, found) =
            if self.decision.allow { self.find()? } else { (IdentifierQueryCode::Forbidden, Found::default()) };
        // What was looked for is about people: only what kind of thing it was is kept.
        let told = json!({
            "elements": self.request.elements.iter().map(|element| element.name()).collect::<Vec<_>>(),
            "code": code.name(),
            "found": found.profiles.len(),
            "withheld": found.withheld,
        });
        if let Value::Object(detail) = &mut self.decision.record.detail {
            detail.insert("query".to_owned(), told);
        }
        if let Value::Object(detail) = &mut self.decision.record.detail {
            let verdicts = found.verdicts.into_iter().flatten().take(LISTED);
            if let Some(Value::Array(actions)) = detail.get_mut("actions") {
                actions.extend(verdicts);
            }
            detail.insert("count".to_owned(), (found.asked + 1).into());
        }
        let lane = self.actor.to_string();
        self.inner.answer_refusal(once, &lane, self.decision, response(code, found.profiles))
    }

    fn find(&self) -> Result<(IdentifierQueryCode, Found), GatewayError> {
        let settings = self.active.engine.search();
        let terms = match search::terms(&self.request.elements, &settings.fields) {
            Ok(terms) => terms,
            Err(code) => return Ok((code, Found::default())),
        };
        let found = self.matching(&terms, &settings.fields, usize::try_from(settings.results).unwrap_or(usize::MAX))?;
        let code = match (found.more, found.profiles.is_empty()) {
            (true, _) => IdentifierQueryCode::Ambiguous,
            (false, true) => IdentifierQueryCode::NotFound,
            (false, false) => IdentifierQueryCode::Success,
        };
        Ok((code, found))
    }

    fn matching(&self, terms: &[Term], fields: &BTreeSet<Field>, most: usize) -> Result<Found, GatewayError> {
        let mut found = Found::default();
        let mut after: Option<UserUri> = None;
        loop {
            let page = self.inner.store.read(|conn| profiles::search(conn, terms, after.as_ref(), PAGE));
            let page = page.map_err(|error: StoreError| GatewayError::from(error))?;
            let last = page.last().map(|(user, _)| user.clone());
            for (user, profile) in page {
                if found.asked == MOST_LOOKED_AT {
                    return Ok(Found { more: true, profiles: Vec::new(), ..found });
                }
                let allowed = self.may_be_found(&user, &mut found);
                let visible = allowed && !profile.hidden;
                let shown = shown(user, profile, fields);
                match visible {
                    true if found.profiles.len() == most => return Ok(Found { more: true, ..found }),
                    true => found.profiles.push(shown),
                    false => found.withheld += 1,
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(found),
            }
        }
    }

    /// Whether policy lets the user be found; what it says is for the record.
    fn may_be_found(&self, user: &UserUri, found: &mut Found) -> bool {
        let (act, now) = (DoorAct::FindUser(user), self.decision.record.at);
        let question = DoorQuestion { act, actor: &self.actor, door: self.door, source: &self.source, now };
        let (allow, verdict) = case(&self.actor, &self.source, None, now).verdict(&self.active, &question);
        found.asked += 1;
        let listed = &mut found.verdicts[usize::from(allow)];
        if listed.len() < LISTED {
            listed.push(verdict);
        }
        allow && user.domain() == *self.door
    }
}

fn case(actor: &UserUri, source: &Domain, exchange: Option<[u8; 32]>, now: Millis) -> Case<'static> {
    let (kind, actor, peer) = ("decision.search", Some(actor.to_string()), source.clone());
    Case { kind, room: None, actor, peer, epoch: None, exchange, now }
}

/// What of a profile may be seen: what the user is to be found by, as far as the company lets it be searched.
fn shown(user: UserUri, profile: Profile, fields: &BTreeSet<Field>) -> UserProfile {
    let seen = profile.fields.into_iter().filter(|field| field.searchable && fields.contains(&field.field));
    let fields = seen.map(|field| {
        let Field { source, name } = field.field;
        ProfileField { source, name, value: field.value }
    });
    UserProfile { stable_uri: user, fields: fields.collect() }
}

fn response(code: IdentifierQueryCode, profiles: Vec<UserProfile>) -> Vec<u8> {
    let uris = profiles.iter().map(|profile| profile.stable_uri.clone()).collect();
    IdentifierResponse { code, uris, profiles, extensions: Dictionary::default() }.encode()
}
