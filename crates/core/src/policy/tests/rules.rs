use super::*;

fn decide(engine: &Engine, room: &RoomFacts, actor: &str, capability: Capability, target: Option<&str>) -> Verdict {
    let actor = user(actor);
    let (source, target) = (actor.domain(), target.map(user));
    let actor = if actor.is_provider() { Actor::Hub(source.clone()) } else { Actor::User(actor) };
    engine.decide(&question(room, &actor, capability, target.as_ref(), &source))
}

const SUSPENDED: &str = "users: [{ uri: mimi://b.example/u/bob, suspended: true }]\n";

/// Gives the room other roles.
fn with_roles(room: &mut RoomFacts, change: impl FnOnce(&mut Vec<Arc<RoleFacts>>)) {
    let known = room.roles.as_mut().unwrap();
    let mut roles = known.roles.to_vec();
    change(&mut roles);
    known.roles = roles.into_iter().collect();
}

#[test]
fn a_forbid_of_the_company_beats_the_room() {
    let room = clubhouse();
    let allowed = decide(&engine_with(&[]), &room, "b.example/u/bob", Capability::SEND_MESSAGE, None);
    assert!(allowed.allow);
    let engine = engine_with(&[("settings.yaml", SUSPENDED)]);
    let refused = decide(&engine, &room, "b.example/u/bob", Capability::SEND_MESSAGE, None);
    assert_eq!((refused.allow, refused.determining), (false, vec!["company.suspended-actor".to_owned()]));
}

#[test]
fn nothing_of_the_company_holds_a_user_in_a_room() {
    let everything = "users: [{ uri: mimi://b.example/u/bob, suspended: true }]\n\
        providers: [{ domain: b.example, suspended: true }, { domain: a.example, suspended: true }]\n\
        defaults: { ciphersuites: [], max_message_bytes: 0 }\n";
    let engine = engine_with(&[("settings.yaml", everything)]);
    let bob = || user("b.example/u/bob");
    let room = RoomFacts {
        muted: [bob()].into(),
        barred: [bob()].into_iter().collect(),
        frozen: true,
        legal_hold: true,
        ..clubhouse()
    };
    let verdict = decide(&engine, &room, "b.example/u/bob", Capability::REMOVE_SELF, None);
    assert!(verdict.allow, "{verdict:?}");
}

#[test]
fn a_company_policy_that_would_forbid_leaving_is_not_loaded() {
    for scope in ["action", "action == Mimi::Action::\"canRemoveSelf\"", "action in [Mimi::Action::\"canRemoveSelf\"]"]
    {
        for file in ["ceiling/mine.cedar", "rooms/mine.cedar"] {
            let policy =
                format!("@id(\"mine\") @reason(\"MINE\")\nforbid (principal, {scope}, resource is Mimi::Room);\n");
            let wrong = diagnostics_with(&[(file, &policy)]);
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert!(wrong[0].contains("nobody is held in a room"), "{wrong:?}");
        }
    }
}

#[test]
fn a_policy_that_fails_denies_instead_of_being_skipped() {
    let overflow = "@id(\"mine.overflow\") @reason(\"MINE\")\n\
        forbid (principal, action in Mimi::Action::\"MessageActs\", resource is Mimi::Room)\n\
        when { context.epoch * 9223372036854775807 > 0 };\n";
    let engine = engine_with(&[("ceiling/mine.cedar", overflow)]);
    let verdict = decide(&engine, &clubhouse(), "b.example/u/bob", Capability::SEND_MESSAGE, None);
    assert!(!verdict.allow);
    assert_eq!((verdict.reason.as_str(), verdict.determining), ("POLICY_ERROR", vec!["mine.overflow".to_owned()]));
    assert!(verdict.errors[0].contains("overflow"), "{:?}", verdict.errors);
    assert_eq!(verdict.public_message, None);
}

#[test]
fn a_permit_that_fails_denies_too() {
    let overflow = "@id(\"mine.overflow\")\n\
        permit (principal, action in Mimi::Action::\"MessageActs\", resource is Mimi::Room)\n\
        when { context.epoch * 9223372036854775807 > 0 };\n";
    let engine = engine_with(&[("platform/mine.cedar", overflow)]);
    let verdict = decide(&engine, &clubhouse(), "b.example/u/bob", Capability::SEND_MESSAGE, None);
    assert_eq!((verdict.allow, verdict.reason.as_str()), (false, "POLICY_ERROR"));
}

#[test]
fn a_role_that_nobody_described_denies_before_any_policy_is_asked() {
    let mut room = clubhouse();
    with_roles(&mut room, |roles| roles.retain(|role| role.index != 2));
    let verdict = decide(&engine_with(&[]), &room, "b.example/u/bob", Capability::SEND_MESSAGE, None);
    assert_eq!((verdict.allow, verdict.reason.as_str()), (false, "FACTS_INCOMPLETE"));
    assert!(verdict.determining.is_empty());
    assert!(verdict.errors[0].contains("clubhouse#2"), "{:?}", verdict.errors);
    let untouched = decide(&engine_with(&[]), &room, "a.example/u/alice", Capability::SEND_MESSAGE, None);
    assert!(untouched.allow, "who does not have that role is not concerned");
}

#[test]
fn a_role_to_be_given_that_does_not_exist_denies() {
    let (room, actor, target, source) =
        (clubhouse(), Actor::User(user("a.example/u/alice")), user("b.example/u/bob"), domain("a.example"));
    let asked = question(&room, &actor, Capability::CHANGE_USER_ROLE, Some(&target), &source);
    let engine = engine_with(&[]);
    assert!(engine.decide(&Question { from_role: 2, to_role: 3, ..asked.clone() }).allow);
    let verdict = engine.decide(&Question { from_role: 2, to_role: 9, ..asked });
    assert_eq!((verdict.allow, verdict.reason.as_str()), (false, "FACTS_INCOMPLETE"));
}

#[test]
fn a_time_that_cannot_be_compared_denies() {
    let (room, actor, source) = (clubhouse(), Actor::User(user("a.example/u/alice")), domain("a.example"));
    let asked = question(&room, &actor, Capability::SEND_MESSAGE, None, &source);
    let verdict = engine_with(&[]).decide(&Question { now: Millis(u64::MAX), ..asked });
    assert_eq!((verdict.allow, verdict.reason.as_str()), (false, "FACTS_INCOMPLETE"));
}

#[test]
fn a_capability_without_a_name_gives_no_right() {
    let mut room = clubhouse();
    with_roles(&mut room, |roles| {
        for role in roles {
            Arc::make_mut(role).capabilities.insert(Capability(0xf000));
        }
    });
    let engine = engine_with(&[]);
    let verdict = decide(&engine, &room, "a.example/u/alice", Capability(0xf000), None);
    assert_eq!((verdict.allow, verdict.reason.as_str()), (false, "UNKNOWN_CAPABILITY"));
    assert!(decide(&engine, &room, "a.example/u/alice", Capability::SEND_MESSAGE, None).allow);
}

#[test]
fn what_nothing_permits_is_denied_with_a_reason() {
    let (engine, room) = (engine_with(&[]), clubhouse());
    let reason = |actor, capability| decide(&engine, &room, actor, capability, None).reason;
    assert_eq!(reason("b.example/u/bob", Capability::DESTROY_ROOM), "CAPABILITY_NOT_GRANTED");
    assert_eq!(reason("d.example/u/dan", Capability::SEND_MESSAGE), "NOT_A_PARTICIPANT");
    let unknown = RoomFacts { roles: None, ..clubhouse() };
    let verdict = decide(&engine, &unknown, "b.example/u/bob", Capability::SEND_MESSAGE, None);
    assert_eq!((verdict.allow, verdict.reason.as_str()), (false, "ROOM_NOT_TRACKED"));
}

#[test]
fn a_follower_that_does_not_track_the_group_says_so() {
    let room = RoomFacts { side: Side::Follower, roles: None, ..clubhouse() };
    let verdict = decide(&engine_with(&[]), &room, "b.example/u/bob", Capability::SEND_MESSAGE, None);
    assert!(verdict.allow);
    assert_eq!(verdict.notes, ["group not tracked: decided by room, host, user and size"]);
    let tracked = RoomFacts { side: Side::Follower, ..clubhouse() };
    let verdict = decide(&engine_with(&[]), &tracked, "b.example/u/bob", Capability::DESTROY_ROOM, None);
    assert_eq!((verdict.allow, verdict.notes.len()), (false, 0));
}

#[test]
fn the_reason_of_the_company_stands_before_that_of_the_room() {
    let engine = engine_with(&[("settings.yaml", SUSPENDED)]);
    let (room, actor, source) = (clubhouse(), Actor::User(user("b.example/u/bob")), domain("b.example"));
    let asked = question(&room, &actor, Capability::ADD_PARTICIPANT, None, &source);
    let verdict = engine.decide(&Question { transition_authorized: false, ..asked });
    assert_eq!(verdict.determining, ["company.suspended-actor", "mimi.role-change-matrix"]);
    assert_eq!((verdict.reason.as_str(), verdict.public_message), ("ACTOR_SUSPENDED", None));
}

#[test]
fn a_policy_about_one_room_applies_there_only() {
    let quiet = "@id(\"room.quiet\") @reason(\"QUIET\")\n\
        forbid (principal, action in Mimi::Action::\"MessageActs\", resource == Mimi::Room::\"mimi://a.example/r/quiet\");\n";
    let engine = engine_with(&[("rooms/quiet.cedar", quiet)]);
    let sends = |room: &RoomFacts| decide(&engine, room, "b.example/u/bob", Capability::SEND_MESSAGE, None);
    assert!(sends(&clubhouse()).allow);
    let room = RoomFacts { room: "mimi://a.example/r/quiet".parse().unwrap(), ..clubhouse() };
    assert_eq!(sends(&room).determining, ["room.quiet"]);
}

#[test]
fn a_user_whose_removal_is_accepted_has_no_rights_left() {
    let (engine, bob) = (engine_with(&[]), "b.example/u/bob");
    let membership = clubhouse().roles.unwrap().without(&BTreeSet::from([user(bob)]));
    let room = RoomFacts { roles: Some(membership), ..clubhouse() };
    assert_eq!(decide(&engine, &room, bob, Capability::SEND_MESSAGE, None).reason, "NOT_A_PARTICIPANT");
    let (actor, source) = (Actor::User(user(bob)), domain("b.example"));
    let asked = question(&room, &actor, Capability::REMOVE_OWN_CLIENT, None, &source);
    assert!(engine.decide(&Question { alternative_granted: true, ..asked }).allow);
}

#[test]
fn a_provider_suspended_beside_the_settings_is_suspended_like_one_in_them() {
    let engine = engine_with(&[]).with_suspended(BTreeSet::from([domain("b.example")]));
    let refused = decide(&engine, &clubhouse(), "b.example/u/bob", Capability::SEND_MESSAGE, None);
    assert_eq!(refused.determining, ["company.suspended-actor"]);
    assert!(decide(&engine, &clubhouse(), "a.example/u/alice", Capability::SEND_MESSAGE, None).allow);
    assert!(
        decide(
            &engine.with_suspended(BTreeSet::new()),
            &clubhouse(),
            "b.example/u/bob",
            Capability::SEND_MESSAGE,
            None
        )
        .allow
    );
}

#[test]
fn a_policy_that_fails_denies_at_the_admin_door() {
    let overflow = "@id(\"mine.overflow\") @reason(\"MINE\")\n\
        forbid (principal is Mimi::Operator, action in Mimi::Action::\"AdminActs\", resource is Mimi::Provider)\n\
        when { context.now.toTime().toMilliseconds() * 9223372036854775807 > 0 };\n";
    let engine = engine_with(&[("ceiling/mine.cedar", overflow)]);
    let roles = BTreeSet::from(["admin".to_owned()]);
    let about = domain("a.example");
    let question = AdminQuestion {
        act: AdminAct::ViewStatus,
        operator: "ops",
        roles: &roles,
        about: &about,
        room: None,
        user: None,
        now: Millis(2000),
    };
    let verdict = engine.decide_admin(&question);
    assert_eq!((verdict.allow, verdict.reason.as_str()), (false, "POLICY_ERROR"));
    assert!(engine_with(&[]).decide_admin(&question).allow);
}

/// An engine keeps the entities of earlier questions; whatever changes of what they describe, it decides as one that was
/// never asked.
#[test]
fn an_engine_that_was_asked_before_decides_as_a_new_one() {
    let (alice, bob) = (Actor::User(user("a.example/u/alice")), user("b.example/u/bob"));
    let (home, other) = (domain("a.example"), domain("b.example"));
    let with = |change: &dyn Fn(&mut RoomFacts)| {
        let mut room = clubhouse();
        change(&mut room);
        room
    };
    fn listed(room: &mut RoomFacts) -> &mut BTreeMap<UserUri, u32> {
        Arc::make_mut(&mut room.roles.as_mut().unwrap().participants)
    }
    let rooms = [
        clubhouse(),
        with(&|room| room.muted = [user("a.example/u/alice")].into()),
        with(&|room| room.muted = [user("b.example/u/bob")].into()),
        with(&|room| room.barred.users = [user("a.example/u/alice")].into()),
        with(&|room| room.barred.users = [user("b.example/u/bob")].into()),
        with(&|room| room.barred.providers = [domain("b.example")].into()),
        with(&|room| room.frozen = true),
        with(&|room| room.legal_hold = true),
        with(&|room| room.roles = None),
        with(&|room| listed(room).extend([(user("a.example/u/alice"), 1)])),
        with(&|room| listed(room).retain(|who, _| *who != user("a.example/u/alice"))),
        with(&|room| with_roles(room, |roles| Arc::make_mut(&mut roles[3]).capabilities.clear())),
    ];
    let asked = [
        (Capability::SEND_MESSAGE, None, &home, 0),
        (Capability::SEND_MESSAGE, None, &other, 0),
        (Capability::KICK, Some(&bob), &home, 0),
        (Capability::ADD_PARTICIPANT, Some(&bob), &home, 2),
    ];
    let bundle = Bundle::load(files_with(&[])).unwrap();
    let warm = Engine::new(&bundle);
    let mut verdicts = Vec::new();
    for room in rooms.iter().chain(&rooms) {
        for (capability, target, source, to_role) in asked {
            let asked = Question { to_role, ..question(room, &alice, capability, target, source) };
            let verdict = warm.decide(&asked);
            assert_eq!(verdict, Engine::new(&bundle).decide(&asked), "{asked:?}");
            verdicts.push(verdict.reason);
        }
    }
    verdicts.sort();
    verdicts.dedup();
    assert!(verdicts.len() >= 5, "the changes make no difference: {verdicts:?}");
}
