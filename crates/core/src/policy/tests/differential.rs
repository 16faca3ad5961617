use cedar_policy::{Authorizer, Decision, PolicySet, Schema};
use proptest::prelude::*;

use super::*;
use crate::policy::entities;
use crate::policy::facts::AnyQuestion;
use crate::policy::settings::{Directory, Settings};
use crate::policy::slices::Slices;
use crate::policy::vocabulary::Vocabulary;

/// Two questions each.
const CASES: u32 = 5000;

/// The shipped policies, and some whose scopes exercise the index: no action, several groups of one action, one room.
const MORE: &str = r#"
@id("x.any") permit (principal, action, resource) when { context has side && context.epoch == 3 };
@id("x.groups") @reason("X")
forbid (principal, action in [Mimi::Action::"MemberActs", Mimi::Action::"MessageActs"], resource is Mimi::Room)
when { context.epoch == 5 };
@id("x.one") @reason("X")
forbid (principal, action in Mimi::Action::"RoomActs", resource == Mimi::Room::"mimi://a.example/r/r1")
when { context.epoch > 6 };
@id("x.late") @reason("X")
forbid (principal, action in Mimi::Action::"FreezableActs", resource is Mimi::Room)
when { context.now > datetime("2026-06-01") && context.suite == 2 };
@id("x.one-permit")
permit (principal, action == Mimi::Action::"canSendMessage", resource == Mimi::Room::"mimi://b.example/r/r2");
@id("x.label") @reason("X")
forbid (principal, action in Mimi::Action::"MessageActs", resource in Mimi::Label::"calm")
when { principal in Mimi::Segment::"trading" };
@id("x.group") @reason("X")
forbid (principal in Mimi::ProviderGroup::"far", action in Mimi::Action::"AdmittingActs", resource);
"#;

/// Forbids with slots, and what is put into them.
const SLOTTED: &str = r#"
@id("t.both") @reason("T")
forbid (principal == ?principal, action in Mimi::Action::"MemberActs", resource == ?resource)
when { context.epoch < 4 };
@id("t.who") @reason("T")
forbid (principal in ?principal, action in Mimi::Action::"MessageActs", resource is Mimi::Room)
when { context.messageBytes > 600 };
@id("t.where") @reason("T")
forbid (principal is Mimi::User, action in [Mimi::Action::"MessageActs", Mimi::Action::"AdmittingActs"], resource is Mimi::Room in ?resource)
when { context.suite == 3 };
"#;

const LINKS: &str = "
- template: t.both
  links:
    - { user: mimi://a.example/u/u0, room: mimi://a.example/r/r0 }
    - { user: mimi://b.example/u/u1, room: mimi://a.example/r/r1 }
    - { room: mimi://b.example/r/r2, user: mimi://a.example/u/u0 }
- template: t.who
  links: [{ segment: trading }, { group: far }, { provider: c.example }, { user: mimi://a.example/u/u1 }]
- { template: t.where, links: [{ label: calm }, { room: mimi://a.example/r/r0 }] }
";

/// The same, written out.
const WRITTEN_OUT: [(&str, &str, &str); 9] = [
    (
        "t.both@user:mimi://a.example/u/u0@room:mimi://a.example/r/r0",
        r#"User::"mimi://a.example/u/u0""#,
        r#"Room::"mimi://a.example/r/r0""#,
    ),
    (
        "t.both@user:mimi://b.example/u/u1@room:mimi://a.example/r/r1",
        r#"User::"mimi://b.example/u/u1""#,
        r#"Room::"mimi://a.example/r/r1""#,
    ),
    (
        "t.both@user:mimi://a.example/u/u0@room:mimi://b.example/r/r2",
        r#"User::"mimi://a.example/u/u0""#,
        r#"Room::"mimi://b.example/r/r2""#,
    ),
    ("t.who@segment:trading", r#"Segment::"trading""#, ""),
    ("t.who@group:far", r#"ProviderGroup::"far""#, ""),
    ("t.who@provider:c.example", r#"Provider::"c.example""#, ""),
    ("t.who@user:mimi://a.example/u/u1", r#"User::"mimi://a.example/u/u1""#, ""),
    ("t.where@label:calm", "", r#"Label::"calm""#),
    ("t.where@room:mimi://a.example/r/r0", "", r#"Room::"mimi://a.example/r/r0""#),
];

/// What is owed, with obligations whose scopes exercise the index.
const OWED: &str = r#"
@id("owed.large") @rate_class("brisk")
permit (principal, action == Mimi::Action::"canSendMessage", resource is Mimi::Room) when { context.messageBytes > 300 };
@id("owed.large-too") @rate_class("brisk")
permit (principal, action in [Mimi::Action::"canSendMessage"], resource) when { context.messageBytes > 400 };
@id("owed.guests") @rate_class("slow")
permit (principal, action == Mimi::Action::"canSendMessage", resource is Mimi::Room) when { principal.employment == "guest" && context.epoch == 2 };
@id("owed.room") @rate_class("brisk")
permit (principal, action == Mimi::Action::"canSendMessage", resource == Mimi::Room::"mimi://a.example/r/r1");
@id("owed.late") @rate_class("slow")
permit (principal in Mimi::Provider::"b.example", action == Mimi::Action::"canSendMessage", resource is Mimi::Room)
when { context.now > datetime("2026-06-01") };
"#;

const SETTINGS: &str = "
obligations:
  rate_classes: [{ name: slow, per_minute: 6, burst: 2 }, { name: brisk, per_minute: 60, burst: 20 }]
defaults: { max_message_bytes: 1000, ciphersuites: [1, 3] }
providers:
  - { domain: c.example, suspended: true }
  - { domain: b.example, groups: [far], jurisdiction: EU }
users:
  - { uri: mimi://a.example/u/u1, suspended: true, clearance: 2 }
  - { uri: mimi://b.example/u/u0, segments: [trading], employment: contractor }
rooms:
  - { uri: mimi://a.example/r/r1, labels: [calm], classification: 2, max_message_bytes: 500 }
  - { uri: mimi://b.example/r/r2, labels: [calm], ciphersuites: [2] }
";

/// Cedar itself, over all policies at once.
struct Plain {
    policies: PolicySet,
    obligations: PolicySet,
    schema: Schema,
    vocabulary: Vocabulary,
    directory: Directory,
}

impl Plain {
    fn new(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let text = |file: &str| std::str::from_utf8(&files[file]).unwrap();
        let mut policies = PolicySet::new();
        for file in files.keys().filter(|file| ["platform/", "ceiling/"].iter().any(|of| file.starts_with(of))) {
            for policy in text(file).parse::<PolicySet>().unwrap().policies() {
                let id = policy.annotation("id").unwrap().parse().unwrap();
                policies.add(policy.new_id(id)).unwrap();
            }
        }
        for (id, who, what) in WRITTEN_OUT {
            let template =
                SLOTTED.split("@id(").find(|text| text.starts_with(&format!("\"{}\"", id.split('@').next().unwrap())));
            let text = format!("@id({}", template.unwrap());
            let text =
                text.replace("?principal", &format!("Mimi::{who}")).replace("?resource", &format!("Mimi::{what}"));
            policies.add(cedar_policy::Policy::parse(Some(cedar_policy::PolicyId::new(id)), text).unwrap()).unwrap();
        }
        let mut obligations = PolicySet::new();
        for policy in OWED.parse::<PolicySet>().unwrap().policies() {
            obligations.add(policy.new_id(policy.annotation("id").unwrap().parse().unwrap())).unwrap();
        }
        let (schema, _) = Schema::from_cedarschema_str(text("schema/mimi.cedarschema")).unwrap();
        let vocabulary = Vocabulary::of(&schema, &serde_json::Value::Null).unwrap();
        let settings: Settings = crate::yaml::parse(text("settings.yaml")).unwrap();
        Self { policies, obligations, schema, vocabulary, directory: Directory::new(settings) }
    }

    /// Decision, determining policies and what is owed; `None` where a policy failed.
    fn decide(&self, question: &Question<'_>) -> Option<(bool, Vec<String>, Option<Owed>)> {
        let act = self.vocabulary.capability(question.capability).unwrap();
        let asked = entities::of_room(&self.vocabulary, &self.directory, &Slices::default(), act, question).unwrap();
        asked.request_conforms(&self.schema).unwrap();
        asked.entities_conform(&self.schema).unwrap();
        let ask = |policies| {
            let response = Authorizer::new().is_authorized(&asked.request, policies, &asked.entities);
            let mut ids: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
            ids.sort();
            response.diagnostics().errors().next().is_none().then(|| (response.decision() == Decision::Allow, ids))
        };
        let (allow, ids) = ask(&self.policies)?;
        let owed = if allow { Self::strictest(&self.obligations, ask(&self.obligations)?.1) } else { None };
        Some((allow, ids, owed))
    }

    /// What these obligations ask for, by their annotations.
    fn strictest(obligations: &PolicySet, ids: Vec<String>) -> Option<Owed> {
        let class = |id: &String| obligations.policy(&id.parse().unwrap()).unwrap().annotation("rate_class").unwrap();
        let value = ["slow", "brisk"].into_iter().find(|wanted| ids.iter().any(|id| class(id) == *wanted))?;
        let because = ids.iter().filter(|id| class(id) == value).cloned().collect();
        Some(Owed { value: value.to_owned(), because })
    }
}

#[derive(Debug)]
pub(super) struct Draw {
    pub(super) room: RoomFacts,
    actor: Actor,
    target: Option<UserUri>,
    source: Domain,
    capability: Capability,
    from_to: (u32, u32),
    flags: [bool; 4],
    suite: u16,
    epoch: u64,
    bytes: u64,
    now: u64,
}

pub(super) fn a_user() -> impl Strategy<Value = UserUri> {
    (0..3_u8, 0..3_u8).prop_map(|(home, name)| {
        let home = ["a.example", "b.example", "c.example"][usize::from(home)];
        user(&if name == 2 { home.to_owned() } else { format!("{home}/u/u{name}") })
    })
}

fn a_room() -> impl Strategy<Value = RoomFacts> {
    let capability = (0..Capability::NAMED.len()).prop_map(|at| Capability::NAMED[at].0);
    let capabilities = prop::collection::btree_set(capability, 0..40);
    let roles = prop::collection::vec(capabilities, 4).prop_map(|roles| {
        let role = |(index, capabilities)| Arc::new(RoleFacts { index, name: format!("role {index}"), capabilities });
        (0..).zip(roles).map(role).collect::<RoleSet>()
    });
    let participants = prop::collection::btree_map(a_user(), 1..4_u32, 0..8);
    let membership = (participants, roles)
        .prop_map(|(participants, roles)| Membership { participants: Arc::new(participants), roles });
    let muted = prop::collection::btree_set(a_user(), 0..3);
    let barred = prop::collection::btree_set(a_user(), 0..2);
    let imposed = (muted, barred);
    (0..3_u8, any::<bool>(), prop::option::weighted(0.8, membership), imposed, any::<[bool; 2]>()).prop_map(
        |(room, hub, roles, (muted, barred), [frozen, legal_hold])| RoomFacts {
            room: ["mimi://a.example/r/r0", "mimi://a.example/r/r1", "mimi://b.example/r/r2"][usize::from(room)]
                .parse()
                .unwrap(),
            side: if hub { Side::Hub } else { Side::Follower },
            roles,
            muted,
            barred: barred.into_iter().collect(),
            frozen: frozen && legal_hold,
            legal_hold,
        },
    )
}

pub(super) fn a_draw() -> impl Strategy<Value = Draw> {
    let who = (a_room(), a_user(), prop::option::of(a_user()), prop::option::weighted(0.2, a_user()));
    // Messages are what obligations are about, and most of what a gateway decides.
    let capability = prop_oneof![
        3 => (0..Capability::NAMED.len()).prop_map(|at| Capability::NAMED[at].0),
        1 => Just(Capability::SEND_MESSAGE),
    ];
    let what = (capability, (0..4_u32, 0..4_u32), any::<[bool; 4]>());
    (who, what, (1..4_u16, 0..9_u64, 0..1200_u64, 0..2_000_000_000_000_u64)).prop_map(
        |((room, actor, target, other), (capability, from_to, flags), (suite, epoch, bytes, now))| Draw {
            source: other.as_ref().unwrap_or(&actor).domain(),
            actor: if actor.is_provider() { Actor::Hub(actor.domain()) } else { Actor::User(actor) },
            room,
            target,
            capability,
            from_to,
            flags,
            suite,
            epoch,
            bytes,
            now,
        },
    )
}

impl Draw {
    pub(super) fn question(&self) -> Question<'_> {
        let [transition_authorized, alternative_granted, preauthorized, external] = self.flags;
        Question {
            from_role: self.from_to.0,
            to_role: self.from_to.1,
            transition_authorized,
            alternative_granted,
            preauthorized,
            external,
            suite: self.suite,
            epoch: self.epoch,
            message_bytes: self.bytes,
            now: Millis(self.now),
            ..question(&self.room, &self.actor, self.capability, self.target.as_ref(), &self.source)
        }
    }
}

#[test]
fn the_indexed_engine_decides_as_cedar_does_over_all_policies() {
    let files = files_with(&[
        ("platform/more.cedar", MORE),
        ("settings.yaml", SETTINGS),
        ("templates/more.cedar", SLOTTED),
        ("rooms/more.yaml", LINKS),
        ("obligations/more.cedar", OWED),
    ]);
    let engine = Engine::new(&Bundle::load(files.clone()).unwrap_or_else(|wrong| panic!("{wrong:#?}")));
    let plain = Plain::new(&files);
    let mut seen: BTreeMap<(bool, bool), usize> = BTreeMap::new();
    let asked = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let seen_in = std::cell::RefCell::new(&mut seen);
    let seen_owed = std::cell::RefCell::new(BTreeSet::new());
    let seen_links = std::cell::RefCell::new(BTreeSet::new());
    runner
        .run(&(a_draw(), 0..9_u64, 0..1200_u64, 0..2_000_000_000_000_u64), |(mut draw, epoch, bytes, now)| {
            // The second finds what was found out for the first.
            for (epoch, bytes, now) in [(draw.epoch, draw.bytes, draw.now), (epoch, bytes, now)] {
                draw = Draw { epoch, bytes, now, ..draw };
                let verdict = engine.decide(&draw.question());
                prop_assert_eq!(&verdict.errors, &Vec::<String>::new());
                let expected = plain.decide(&draw.question());
                if let Some(owed) = &verdict.obligations.rate_class {
                    seen_owed.borrow_mut().extend(owed.because.clone());
                }
                let decided = (verdict.allow, verdict.determining, verdict.obligations.rate_class);
                prop_assert_eq!(Some(decided), expected);
                asked.set(asked.get() + 1);
            }
            let verdict = engine.decide(&draw.question());
            seen_links.borrow_mut().extend(verdict.determining.iter().filter(|id| id.starts_with("t.")).cloned());
            *seen_in.borrow_mut().entry((verdict.allow, verdict.determining.is_empty())).or_default() += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(asked.get(), 2 * CASES);
    assert_eq!(seen_owed.borrow().len(), OWED.matches("@id(").count(), "{seen_owed:?}");
    let links = seen_links.borrow();
    assert_eq!(*links, WRITTEN_OUT.iter().map(|(id, ..)| (*id).to_owned()).collect::<BTreeSet<_>>());
    let often = |key| seen.get(&key).copied().unwrap_or(0) > 50;
    assert!(often((true, false)) && often((false, false)) && often((false, true)), "{seen:?}");
}

#[test]
fn a_decision_meets_no_policy_of_other_rooms_or_actions() {
    let mut other = String::new();
    for n in 0..100 {
        other.push_str(&format!(
            "@id(\"o.{n}\") @reason(\"O\") forbid (principal, action in Mimi::Action::\"RoomActs\", \
             resource == Mimi::Room::\"mimi://a.example/r/other{n}\");\n\
             @id(\"d.{n}\") @reason(\"D\") forbid (principal, action == Mimi::Action::\"canDestroyRoom\", \
             resource is Mimi::Room) when {{ context.epoch == {n} }};\n\
             @id(\"u.{n}\") @reason(\"U\") forbid (principal == Mimi::User::\"mimi://b.example/u/other{n}\", \
             action in Mimi::Action::\"RoomActs\", resource is Mimi::Room);\n"
        ));
    }
    let few = Bundle::load(shipped_files()).unwrap();
    let many = Bundle::load(files_with(&[("rooms/other.cedar", &other)])).unwrap();
    let (room, actor, home) = (clubhouse(), Actor::User(user("b.example/u/bob")), domain("b.example"));
    let question = AnyQuestion::Room(question(&room, &actor, Capability::SEND_MESSAGE, None, &home));
    let breadth = |bundle: &Bundle| {
        let engine = Engine::new(bundle);
        let (act, asked) = engine.put(&question).unwrap();
        engine.candidates(act, &asked.unwrap()).count()
    };
    assert_eq!(breadth(&few), breadth(&many));
    assert!(breadth(&few) < 14, "{}", breadth(&few));
}
