//! Which rooms lie inside of an envelope.

use crate::wire::components::{
    Conditional, Dictionary, ExpirationLimits, HistoryPolicy, HistorySharing, LoggingPolicy, MessageExpirationPolicy,
    RoomMetadata,
};

use super::*;

fn hub() -> Domain {
    Domain::parse("a.example").unwrap()
}

fn envelope(text: &str) -> Envelope {
    crate::yaml::parse(text).unwrap()
}

fn outside(envelope: &str, scene: &Scene) -> Vec<String> {
    let found = self::envelope(envelope).outside(&scene.view.components, &hub());
    found.iter().map(ToString::to_string).collect()
}

fn with<T: Component>(scene: &Scene, component: &T) -> Scene {
    let mut scene = scene.clone();
    scene.view.components.write(component);
    scene
}

#[test]
fn each_rule_takes_the_room_that_keeps_it_and_no_other() {
    let strict = Scene::of("strict");
    let logged = with(&strict, &LoggingPolicy { logging: Conditional::Forbidden });
    let limits = ExpirationLimits { min_seconds: 60, max_seconds: 90, default_seconds: None };
    let expiring = with(&strict, &MessageExpirationPolicy { expiring_messages: Conditional::Optional(limits) });
    let unexpiring = with(&strict, &MessageExpirationPolicy { expiring_messages: Conditional::Forbidden });
    let terms =
        HistorySharing { roles_that_can_share: vec![USER], automatically_share: true, max_time_period_seconds: 60 };
    let shared = with(&strict, &HistoryPolicy { history_sharing: Conditional::Required(terms) });
    let unnamed = strict.clone().edit(|metadata: &mut RoomMetadata| metadata.name = " ".into());
    let with_subject = strict.clone().edit(|metadata: &mut RoomMetadata| metadata.subject = "this".into());
    let base = |change: fn(&mut BaseRoomPolicy)| strict.clone().base(change);
    let described = strict.clone().edit(|metadata: &mut RoomMetadata| {
        let plain = |content: &[u8]| crate::wire::components::RichDescription {
            media_type: String::new(),
            language: String::new(),
            content: content.to_vec(),
        };
        metadata.descriptions = vec![plain(b"what it is for")];
    });
    let pictured = strict.clone().edit(|metadata: &mut RoomMetadata| metadata.avatar = "https://a.example/a".into());
    let cases: [(&str, &Scene, &Scene, &str); 16] = [
        ("metadata: [description]", &described, &strict, "the room lacks a description"),
        ("metadata: [avatar]", &pictured, &strict, "the room lacks an avatar"),
        ("expiring_messages: [forbidden, required]", &unexpiring, &expiring, "expiry of messages is optional"),
        ("metadata: [name]", &strict, &unnamed, "the room lacks a name"),
        ("metadata: [subject]", &with_subject, &strict, "the room lacks a subject"),
        ("max_users: 9", &base(|base| base.max_users = Some(9)), &strict, "the room takes more than 9 users"),
        (
            "max_clients: 9",
            &base(|base| base.max_clients = Some(8)),
            &base(|base| base.max_clients = Some(10)),
            "the room takes more than 9 clients",
        ),
        (
            "never: [pseudonyms]",
            &strict,
            &base(|base| base.pseudonyms_allowed = true),
            "the room would take pseudonyms",
        ),
        (
            "never: [passing]",
            &strict,
            &base(|base| base.persistent_room = false),
            "the room would end with its last client",
        ),
        (
            "never: [discoverable]",
            &strict,
            &base(|base| base.discoverable = true),
            "the room would show itself to who does not know it",
        ),
        (
            "never: [join_codes]",
            &strict.clone().role(NO_ROLE, |role| cannot(role, Capability::USE_JOIN_CODE)),
            &strict,
            "the room would let whoever has a code join",
        ),
        (
            "never: [open_join]",
            &strict,
            &strict.clone().role(NO_ROLE, |role| can(role, Capability::OPEN_JOIN)),
            "the room would let anybody join",
        ),
        ("roles: { group_admin: [b.example] }", &strict, &strict.clone().with(DIANA, ADMIN, &[]), "has the role"),
        ("logging: [forbidden]", &logged, &strict, "logging is optional"),
        ("history_sharing: [optional, forbidden]", &strict, &shared, "sharing of history is required"),
        ("expire_after_seconds: 61", &strict, &expiring, "messages expire after 60 seconds"),
    ];
    for (rule, inside, out, says) in cases {
        assert_eq!(outside(rule, inside), Vec::<String>::new(), "{rule}");
        let found = outside(rule, out);
        assert!(found.len() == 1 && found[0].contains(says), "{rule}: {found:?}");
        assert_eq!(envelope(rule).sentences().len(), 1, "{rule}");
    }
}

#[test]
fn no_role_but_the_hub_s_has_what_is_never_granted() {
    let strict = Scene::of("strict");
    let found = outside("never_granted: [canChangeRoleDefinitions]", &strict);
    assert_eq!(found, ["the role `super_admin` has `canChangeRoleDefinitions`"], "the enforcer has it, too");
    assert!(crate::yaml::parse::<Envelope>("never_granted: [canFly]").is_err());
    assert!(crate::yaml::parse::<Envelope>("max_user: 3").is_err());
}

#[test]
fn only_the_entry_of_the_hub_is_exempt_and_nobody_else_in_its_role() {
    let rule = "{ never_granted: [canChangeRoleDefinitions], roles: { policy_enforcer: [c.example] } }";
    let of_admin = "the role `super_admin` has `canChangeRoleDefinitions`";
    let of_enforcer = "the role `policy_enforcer` has `canChangeRoleDefinitions`";
    assert_eq!(outside(rule, &Scene::of("strict")), [of_admin]);
    let other = Scene::of("strict").with("mimi://b.example", ENFORCER, &[]);
    let is_there = "`mimi://b.example` has the role `policy_enforcer`";
    assert_eq!(outside(rule, &other), [of_admin, of_enforcer, is_there]);
    let admin = RoomState::read(&other.view).unwrap().role_of(&UserUri::parse(ALICE).unwrap());
    let with_alice = Scene::of("strict").with("mimi://b.example", admin, &[]);
    assert_eq!(outside(rule, &with_alice), [of_admin], "a provider in it does not lift the rule");
}

#[test]
fn what_cannot_be_read_lies_outside() {
    let mut scene = Scene::of("strict");
    scene.view.components.insert(BaseRoomPolicy::ID, vec![0xff; 3]);
    let found = envelope("max_users: 9").outside(&scene.view.components, &hub());
    assert!(found.len() == 1 && found.iter().all(|way| way.to_string().contains("cannot be read")), "{found:?}");
    let before = Scene::of("strict").view.components;
    assert_eq!(envelope("max_users: 9").newly_outside(&before, &scene.view.components, &hub()), found);
}

#[test]
fn what_lies_outside_already_keeps_nobody_from_changing_something_else() {
    let (before, rules) = (Scene::of("strict"), envelope("{ max_users: 9, metadata: [name, avatar] }"));
    let renamed = before.clone().edit(|metadata: &mut RoomMetadata| metadata.name = "other".into());
    let unnamed = before.clone().edit(|metadata: &mut RoomMetadata| metadata.name.clear());
    let newly = |after: &Scene| rules.newly_outside(&before.view.components, &after.view.components, &hub()).len();
    assert_eq!((outside("{ max_users: 9, metadata: [name, avatar] }", &before).len(), newly(&renamed)), (2, 0));
    assert_eq!(newly(&unnamed), 1);
}

#[test]
fn what_goes_further_out_is_told_from_what_comes_nearer_by_what_it_is_and_not_by_its_words() {
    let further = |rule: &str, before: &Scene, after: &Scene| {
        let found = envelope(rule).newly_outside(&before.view.components, &after.view.components, &hub());
        !found.is_empty()
    };
    let users = |most| Scene::of("strict").base(move |base| base.max_users = most);
    for (before, after, is_further) in
        [(Some(20), Some(15), false), (Some(20), Some(25), true), (Some(20), None, true), (None, Some(20), false)]
    {
        assert_eq!(further("max_users: 9", &users(before), &users(after)), is_further, "{before:?} to {after:?}");
    }
    let expiring = |min_seconds| {
        let limits = ExpirationLimits { min_seconds, max_seconds: 90, default_seconds: None };
        with(&Scene::of("strict"), &MessageExpirationPolicy { expiring_messages: Conditional::Optional(limits) })
    };
    let later = "expire_after_seconds: 80";
    assert!(!further(later, &expiring(10), &expiring(60)), "nearer, in other words");
    assert!(further(later, &expiring(60), &expiring(10)));
    let rule = "never_granted: [canChangeRoleDefinitions]";
    let renamed = Scene::of("strict").role(SUPER, |role| role.name = "boss".into());
    assert!(!further(rule, &Scene::of("strict"), &renamed), "the same role under another name");
}

#[test]
fn of_a_room_that_nobody_knows_what_changes_is_looked_at_and_nothing_else() {
    let rule = "{ metadata: [name], max_users: 9, never: [open_join], never_granted: [canBan], logging: [forbidden] }";
    let looked = |change: &dyn Fn(&mut Dictionary)| {
        let mut components = Dictionary::default();
        change(&mut components);
        let found = envelope(rule).outside_in_part(&components, &hub());
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(looked(&|_| {}), Vec::<String>::new());
    let strict = Scene::of("strict").view.components;
    let base: BaseRoomPolicy = strict.read().unwrap().unwrap();
    assert_eq!(looked(&|all| all.write(&base)), ["the room takes more than 9 users"]);
    assert_eq!(looked(&|all| all.write(&BaseRoomPolicy { max_users: Some(9), ..base.clone() })), Vec::<String>::new());
    let roles: RolesList = strict.read().unwrap().unwrap();
    let granted = ["the role `group_admin` has `canBan`", "the role `super_admin` has `canBan`"];
    assert_eq!(looked(&|all| all.write(&roles)), granted, "who has no clients is not asked about");
    let logging = LoggingPolicy { logging: Conditional::Forbidden };
    assert_eq!(looked(&|all| all.write(&logging)), Vec::<String>::new());
    assert_eq!(looked(&|all| drop(all.insert(BaseRoomPolicy::ID, vec![0xff; 3]))).len(), 1);
}

#[test]
fn pseudonyms_that_are_there_count_whatever_the_room_says() {
    let there = Scene::of("strict").with("mimi://d.example/p/x", USER, &[]);
    assert_eq!(outside("never: [pseudonyms]", &there), ["the room would take pseudonyms"]);
    assert_eq!(outside("never: [pseudonyms]", &Scene::of("strict")), Vec::<String>::new());
}

#[test]
fn names_of_roles_are_told_in_one_line() {
    let odd = Scene::of("strict").role(ADMIN, |role| role.name = "x\nmax_users: 1\u{202e}".into());
    let found = outside("never_granted: [canBan]", &odd);
    assert!(found.iter().any(|way| way == "the role `x\\nmax_users: 1\\u{202e}` has `canBan`"), "{found:?}");
}

#[test]
fn an_envelope_that_says_nothing_takes_every_room() {
    let nothing = Envelope::default();
    assert!(nothing.takes_all() && nothing.sentences().is_empty());
    assert!(nothing.outside(&Scene::of("multi-org").view.components, &hub()).is_empty());
    let said = envelope("{ never: [open_join], roles: { user_a: [a.example] }, logging: [optional] }");
    let again: Envelope = crate::yaml::parse(&serde_json::to_string(&said).unwrap()).unwrap();
    assert_eq!(said, again);
}
