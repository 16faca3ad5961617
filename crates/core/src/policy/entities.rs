//! Facts become Cedar entities: just those that the question can reach, and all of those. What is referred to but not
//! known is an error before anything is evaluated, for Cedar would skip a forbid that meets a missing entity.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{Context, Entities, Entity, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema};

use crate::room::Actor;
use crate::time::Millis;
use crate::wire::components::Capability;
use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::facts::{Membership, Question, RoleFacts, RoomFacts, Side};
use super::people::PersonFacts;
use super::reads::Reads;
use super::settings::Directory;
use super::slices::{Described, Key, Slices};
use super::vocabulary::{Act, Vocabulary, uid};

mod admin;
mod door;
mod user;

pub(super) use admin::of_admin;
pub(super) use door::of_door;

/// Why the facts do not suffice to evaluate.
#[derive(Debug, thiserror::Error)]
pub(super) enum FactsError {
    /// Something refers to an entity that nobody described.
    #[error("`{0}` is referred to but not known")]
    Missing(String),
    /// The point in time is beyond what a policy can compare.
    #[error("time {0} ms is out of range")]
    Time(Millis),
    /// Cedar does not take what was built.
    #[error("{what} cannot be built")]
    Cedar {
        /// Which part.
        what: &'static str,
        /// Cedar's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl FactsError {
    fn cedar<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Cedar { what, source: Box::new(error) }
    }

    /// The error with everything that caused it, in one line.
    pub(super) fn explain(&self) -> String {
        let mut said = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            said = format!("{said}: {error}");
            cause = error.source();
        }
        said
    }
}

/// A question in Cedar's terms.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) resource: EntityUid,
    pub(super) entities: Arc<Entities>,
}

impl Asked {
    /// What the scope of a policy can name that is to match: principal and resource, and whatever they are in.
    pub(super) fn named(&self) -> impl Iterator<Item = &EntityUid> {
        let ends = [Some(&self.resource), self.request.principal()].into_iter().flatten();
        ends.flat_map(|end| std::iter::once(end).chain(self.entities.ancestors(end).into_iter().flatten()))
    }

    /// Checks against the schema what is asked without it later on.
    pub(super) fn request_conforms(&self, schema: &Schema) -> Result<(), FactsError> {
        let (request, missing) = (&self.request, || FactsError::Missing("request".to_owned()));
        let principal = request.principal().ok_or_else(missing)?.clone();
        let action = request.action().ok_or_else(missing)?.clone();
        let context = request.context().ok_or_else(missing)?.clone();
        Request::new(principal, action, self.resource.clone(), context, Some(schema))
            .map_err(FactsError::cedar("request"))?;
        Ok(())
    }

    /// Checks against the schema what is evaluated without it later on.
    pub(super) fn entities_conform(&self, schema: &Schema) -> Result<(), FactsError> {
        Entities::from_entities(self.entities.iter().cloned(), Some(schema)).map_err(FactsError::cedar("entities"))?;
        Ok(())
    }
}

/// A room of sample questions.
const SAMPLE_ROOM: &str = "mimi://sample.example/r/a";

/// Checks that what the gateway builds is what the schema of the bundle declares: sample questions with everything that
/// a question can hold.
pub(super) fn conform(vocabulary: &Vocabulary, directory: &Directory, schema: &Schema) -> Result<(), FactsError> {
    let domain = Domain::parse("sample.example").map_err(FactsError::cedar("sample"))?;
    let user = UserUri::parse("mimi://sample.example/u/a").map_err(FactsError::cedar("sample"))?;
    let target = UserUri::parse("mimi://sample.example/u/b").map_err(FactsError::cedar("sample"))?;
    let room = RoomUri::parse(SAMPLE_ROOM).map_err(FactsError::cedar("sample"))?;
    let capabilities = BTreeSet::from([Capability::SEND_MESSAGE]);
    let role = |index| Arc::new(RoleFacts { index, name: "sample".to_owned(), capabilities: capabilities.clone() });
    let people = [user.clone(), target.clone()];
    let facts = RoomFacts {
        room,
        side: Side::Hub,
        roles: Some(Membership {
            participants: Arc::new(people.iter().map(|user| (user.clone(), 2)).collect()),
            roles: [role(0), role(2)].into_iter().collect(),
        }),
        muted: people.iter().cloned().collect(),
        barred: people.into_iter().collect(),
        frozen: false,
        legal_hold: false,
    };
    let said = PersonFacts {
        department: Some("sample".to_owned()),
        organization: Some("sample".to_owned()),
        manager: Some(target.clone()),
        ..PersonFacts::default()
    };
    let directory = &directory.with_sample(&user, said.into());
    let actor = Actor::User(user.clone());
    for (capability, act) in vocabulary.capabilities() {
        let question = Question {
            room: &facts,
            actor: &actor,
            capability: *capability,
            target: Some(&target),
            from_role: 2,
            to_role: 2,
            transition_authorized: true,
            alternative_granted: false,
            preauthorized: false,
            external: false,
            suite: 1,
            epoch: 0,
            message_bytes: 0,
            source: &domain,
            now: Millis(0),
        };
        let asked = of_room(vocabulary, directory, &Slices::default(), act, &question)?;
        asked.request_conforms(schema)?;
        // The entities are the same for every capability.
        if *capability == Capability::SEND_MESSAGE {
            asked.entities_conform(schema)?;
        }
    }
    door::conform(vocabulary, directory, schema, (&user, &target))?;
    admin::conform(vocabulary, directory, schema)
}

/// Turns a question about a room into a request with its entities.
pub(super) fn of_room(
    vocabulary: &Vocabulary,
    directory: &Directory,
    slices: &Slices,
    act: &Act,
    question: &Question<'_>,
) -> Result<Asked, FactsError> {
    describe(vocabulary, directory, act, question, &Key::of(question, directory))?.ask(
        act,
        slices,
        question,
        &Reads::All,
    )
}

impl Described {
    /// The question with as much of its context as policies read that are to be asked.
    pub(super) fn ask(
        &self,
        act: &Act,
        slices: &Slices,
        question: &Question<'_>,
        reads: &Reads,
    ) -> Result<Asked, FactsError> {
        let reference = |uid: &EntityUid| RestrictedExpression::new_entity_uid(uid.clone());
        let side = || match question.room.side {
            Side::Hub => text("hub"),
            Side::Follower => text("follower"),
        };
        let change = || {
            record([
                ("from", long(question.from_role)),
                ("to", long(question.to_role)),
                ("authorized", boolean(question.transition_authorized)),
                ("alternative", boolean(question.alternative_granted)),
                ("preauthorized", boolean(question.preauthorized)),
                ("external", boolean(question.external)),
            ])
        };
        let mut context = Vec::new();
        let mut put = |name, value: &dyn Fn() -> Result<Option<RestrictedExpression>, FactsError>| {
            if reads.contains(name) {
                context.extend(value()?.map(|value| (name, value)));
            }
            Ok::<_, FactsError>(())
        };
        put("now", &|| slices.moment(question.now).map(Some))?;
        put("side", &|| Ok(Some(side())))?;
        put("source", &|| Ok(Some(reference(&self.source))))?;
        put("suite", &|| Ok(Some(long(question.suite))))?;
        put("epoch", &|| Ok(Some(saturated(question.epoch))))?;
        put("messageBytes", &|| Ok(Some(saturated(question.message_bytes))))?;
        put("change", &|| change().map(Some))?;
        put("granted", &|| Ok(self.granted.as_ref().map(reference)))?;
        put("target", &|| Ok(self.target.as_ref().map(reference)))?;
        let request = request(self.principal.clone(), act, self.resource.clone(), context)?;
        Ok(Asked { request, resource: self.resource.clone(), entities: Arc::clone(&self.entities) })
    }
}

/// The entities that a question about a room can reach.
pub(super) fn describe(
    vocabulary: &Vocabulary,
    directory: &Directory,
    act: &Act,
    question: &Question<'_>,
    key: &Key,
) -> Result<Described, FactsError> {
    let mut slice = Slice::new(vocabulary, directory, act);
    let principal = slice.user(&key.actor)?;
    let source = slice.provider(question.source)?;
    let target = question.target.map(|target| slice.user(target)).transpose()?;
    let resource = slice.room(question.room, &key.actor, question.target)?;
    let roles = question.room.roles.as_ref();
    let granted = roles.filter(|_| question.to_role != 0).map(|_| slice.refer_role(question.room, question.to_role));
    if let Some(known) = roles {
        slice.role(question.room, known, question.to_role)?;
    }
    Ok(Described { principal, resource, source, target, granted, entities: slice.finish()? })
}

fn request(
    principal: EntityUid,
    act: &Act,
    resource: EntityUid,
    context: Vec<(&str, RestrictedExpression)>,
) -> Result<Request, FactsError> {
    let context = context.into_iter().map(|(key, value)| (key.to_owned(), value));
    let context = Context::from_pairs(context).map_err(FactsError::cedar("context"))?;
    Request::new(principal, act.uid.clone(), resource, context, None).map_err(FactsError::cedar("request"))
}

/// The entities that one question can reach.
struct Slice<'a> {
    vocabulary: &'a Vocabulary,
    directory: &'a Directory,
    act: &'a Act,
    entities: HashMap<EntityUid, Entity>,
    /// What attributes, tags and context refer to; all of it must be among `entities`.
    referred: BTreeSet<EntityUid>,
}

impl<'a> Slice<'a> {
    fn new(vocabulary: &'a Vocabulary, directory: &'a Directory, act: &'a Act) -> Self {
        let entities = HashMap::from([(act.uid.clone(), act.entity.clone())]);
        Self { vocabulary, directory, act, entities, referred: BTreeSet::new() }
    }

    fn ask(
        self,
        principal: EntityUid,
        resource: EntityUid,
        context: Vec<(&str, RestrictedExpression)>,
    ) -> Result<Asked, FactsError> {
        let request = request(principal, self.act, resource.clone(), context)?;
        Ok(Asked { request, resource, entities: self.finish()? })
    }

    fn finish(self) -> Result<Arc<Entities>, FactsError> {
        let missing = self.referred.iter().find(|uid| !self.entities.contains_key(uid));
        if let Some(missing) = missing {
            return Err(FactsError::Missing(missing.to_string()));
        }
        let entities = Entities::from_entities(self.entities.into_values(), None);
        entities.map(Arc::new).map_err(FactsError::cedar("entities"))
    }

    fn refer(&mut self, uid: EntityUid) -> RestrictedExpression {
        self.referred.insert(uid.clone());
        RestrictedExpression::new_entity_uid(uid)
    }

    fn insert(
        &mut self,
        uid: &EntityUid,
        attributes: Vec<(&str, RestrictedExpression)>,
        parents: BTreeSet<EntityUid>,
        tags: Vec<(String, RestrictedExpression)>,
    ) -> Result<(), FactsError> {
        let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value));
        let entity =
            Entity::new_with_tags(uid.clone(), attributes, parents, tags).map_err(FactsError::cedar("entity"))?;
        self.entities.insert(uid.clone(), entity);
        Ok(())
    }

    /// A named entity without attributes: a group, a segment, a label.
    fn mark(&mut self, entity_type: &EntityTypeName, name: &str) -> EntityUid {
        let uid = uid(entity_type, name);
        self.entities.entry(uid.clone()).or_insert_with(|| Entity::with_uid(uid.clone()));
        uid
    }

    fn provider(&mut self, domain: &Domain) -> Result<EntityUid, FactsError> {
        let uid = uid(&self.vocabulary.provider, domain.as_str());
        if !self.entities.contains_key(&uid) {
            let settings = self.directory.provider(domain);
            let jurisdiction = settings.map_or("", |settings| settings.jurisdiction.as_str());
            let groups = settings.into_iter().flat_map(|settings| &settings.groups);
            let parents = groups.map(|name| self.mark(&self.vocabulary.provider_group, name)).collect();
            let attributes = vec![
                ("domain", text(domain.as_str())),
                ("jurisdiction", text(jurisdiction)),
                ("suspended", boolean(self.directory.is_suspended(domain))),
                ("anonymousReports", boolean(settings.is_some_and(|settings| settings.anonymous_reports))),
            ];
            self.insert(&uid, attributes, parents, Vec::new())?;
        }
        Ok(uid)
    }

    /// The room with the roles of `actor` and `target` and its role 0: the cost of a decision does not grow with the
    /// room.
    fn room(&mut self, room: &RoomFacts, actor: &UserUri, target: Option<&UserUri>) -> Result<EntityUid, FactsError> {
        let uid = uid(&self.vocabulary.room, room.room.as_str());
        let host = self.provider(&room.room.domain())?;
        let settings = self.directory.room(&room.room);
        let people: BTreeSet<&UserUri> = target.into_iter().chain([actor]).collect();
        let mut among = |marked: &dyn Fn(&UserUri) -> bool| -> Vec<RestrictedExpression> {
            let found = people.iter().filter(|user| marked(user));
            let found: Vec<EntityUid> = found.map(|user| self.vocabulary.user(user)).collect();
            found.into_iter().map(|user| self.refer(user)).collect()
        };
        let muted = among(&|user| room.muted.contains(user));
        let barred = among(&|user| room.barred.contains(user));
        let max_message_bytes = settings.and_then(|settings| settings.max_message_bytes);
        let ciphersuites = settings.and_then(|settings| settings.ciphersuites.as_ref());
        let labels = settings.into_iter().flat_map(|settings| &settings.labels);
        let parents = labels.map(|name| self.mark(&self.vocabulary.label, name)).collect();
        let mut attributes = vec![
            ("uri", text(room.room.as_str())),
            ("host", self.refer(host)),
            ("tracked", boolean(room.roles.is_some())),
            ("frozen", boolean(room.frozen)),
            ("legalHold", boolean(room.legal_hold)),
            ("muted", set(muted)),
            ("barred", set(barred)),
            ("classification", long(settings.map_or(0, |settings| settings.classification))),
            ("maxMessageBytes", long(max_message_bytes.unwrap_or(self.directory.defaults.max_message_bytes))),
            (
                "ciphersuites",
                set(ciphersuites.unwrap_or(&self.directory.defaults.ciphersuites).iter().map(|suite| long(*suite))),
            ),
        ];
        let mut tags = Vec::new();
        if let Some(known) = &room.roles {
            if known.roles.iter().any(|role| role.index == 0) {
                self.role(room, known, 0)?;
                let outsider = self.refer_role(room, 0);
                attributes.push(("outsiderRole", RestrictedExpression::new_entity_uid(outsider)));
            }
            for user in people {
                if let Some(index) = known.participants.get(user) {
                    self.role(room, known, *index)?;
                    let role = self.refer_role(room, *index);
                    tags.push((user.as_str().to_owned(), RestrictedExpression::new_entity_uid(role)));
                }
            }
        }
        self.insert(&uid, attributes, parents, tags)?;
        Ok(uid)
    }

    fn refer_role(&mut self, room: &RoomFacts, index: u32) -> EntityUid {
        let uid = self.role_uid(room, index);
        self.referred.insert(uid.clone());
        uid
    }

    fn role_uid(&self, room: &RoomFacts, index: u32) -> EntityUid {
        uid(&self.vocabulary.role, &format!("{}#{index}", room.room))
    }

    /// Describes the role, if the room has one of that number.
    fn role(&mut self, room: &RoomFacts, known: &Membership, index: u32) -> Result<(), FactsError> {
        let uid = self.role_uid(room, index);
        let Some(role) = known.roles.iter().find(|role| role.index == index) else { return Ok(()) };
        if self.entities.contains_key(&uid) {
            return Ok(());
        }
        let attributes = vec![
            ("index", long(role.index)),
            ("name", text(&role.name)),
            ("capabilities", set(self.capabilities(role))),
        ];
        self.insert(&uid, attributes, BTreeSet::new(), Vec::new())
    }

    fn capabilities(&self, role: &RoleFacts) -> Vec<RestrictedExpression> {
        let known = role.capabilities.iter().filter_map(|capability| self.vocabulary.capability(*capability));
        known.map(|act| RestrictedExpression::new_entity_uid(act.uid.clone())).collect()
    }
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn boolean(value: bool) -> RestrictedExpression {
    RestrictedExpression::new_bool(value)
}

fn long(value: impl Into<i64>) -> RestrictedExpression {
    RestrictedExpression::new_long(value.into())
}

/// A number beyond Cedar's range compares as the largest one in it.
fn saturated(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}

fn set(values: impl IntoIterator<Item = RestrictedExpression>) -> RestrictedExpression {
    RestrictedExpression::new_set(values)
}

fn record<const N: usize>(fields: [(&str, RestrictedExpression); N]) -> Result<RestrictedExpression, FactsError> {
    let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
    RestrictedExpression::new_record(fields).map_err(FactsError::cedar("record"))
}

/// `now`, to the second, as Cedar writes points in time; its years have four digits.
pub(super) fn datetime(now: Millis) -> Result<RestrictedExpression, FactsError> {
    let (days, seconds) = (now.0 / 86_400_000, now.0 / 1000 % 86_400);
    let (year, month, day) = civil(days);
    if year > 9999 {
        return Err(FactsError::Time(now));
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let written = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    Ok(RestrictedExpression::new_datetime(written))
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01: eras of 400 years, years that start in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_across_leap_years_and_centuries() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_778, (2026, 11, 21)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
    }

    #[test]
    fn a_time_beyond_the_year_9999_is_an_error() {
        assert!(datetime(Millis(253_402_300_799_999)).is_ok());
        assert!(datetime(Millis(253_402_300_800_000)).is_err());
    }
}
