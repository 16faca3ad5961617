//! How a room starts, and what is no room.

use super::*;

fn start(scene: &Scene) -> Result<RoomState, RoomError> {
    found(&scene.view, &room_uri(), &user(ALICE))
}

fn refused(scene: &Scene) -> &'static str {
    start(scene).unwrap_err().code()
}

#[test]
fn every_template_starts_a_room() {
    for name in ["cooperative", "direct", "strict", "moderated", "multi-org"] {
        let state = start(&Scene::empty(name)).unwrap();
        assert_eq!(state.participants().len(), 2, "{name}");
        let rules = state.holds(&user(ALICE), Capability::CHANGE_PREAUTHORIZED_USER_LIST);
        assert_eq!(rules, name != "direct", "{name}");
    }
}

#[test]
fn a_room_starts_with_its_creator_s_clients_only() {
    assert!(start(&Scene::empty("strict").device(ALICE, "laptop")).is_ok());
    assert_eq!(refused(&Scene::empty("strict").with(BOB, ADMIN, &["phone"])), "founding");
    let empty = Scene::empty("strict");
    let empty = Scene { view: GroupView { leaves: Vec::new(), ..empty.view } };
    assert_eq!(refused(&empty), "founding");
}

#[test]
fn a_room_s_metadata_names_the_room() {
    let other = RoomUri::parse("mimi://a.example/r/other").unwrap();
    let scene =
        Scene::empty("strict").edit(|metadata: &mut crate::wire::components::RoomMetadata| metadata.room = other);
    assert_eq!(refused(&scene), "metadata");
}

#[test]
fn what_is_not_carried_out_does_not_start() {
    let dependent = |parent: &str| {
        let parent = RoomUri::parse(parent).unwrap();
        start(&Scene::empty("strict").base(|base| {
            base.parent_dependant = true;
            base.parent_room = Some(parent);
        }))
    };
    assert!(dependent("mimi://a.example/r/parent").is_ok());
    assert_eq!(dependent("mimi://b.example/r/parent").unwrap_err().code(), "not_supported", "of another hub");
    let mandatory = Scene::empty("strict").operational(|parameters| {
        parameters.mandatory_capabilities.suites.push(2);
    });
    assert_eq!(refused(&mandatory), "leaf_capabilities", "invariant 12");
    let mut unknown = Scene::empty("strict");
    unknown.view.components.insert(ComponentId(0x31), vec![0; 7]);
    assert_eq!(refused(&unknown), "not_supported");
}

#[test]
fn a_room_that_must_be_logged_does_not_start_without_who_logs_it() {
    use crate::wire::components::{Conditional, Logging, LoggingPolicy};
    let logged = |client: &str| {
        let logging = Logging {
            logging_clients: vec![client.to_owned()],
            machine_readable_policy: String::new(),
            human_readable_policy: String::new(),
        };
        let mut scene = Scene::empty("strict").base(|base| base.policy_component_ids.push(LoggingPolicy::ID));
        scene.view.components.write(&LoggingPolicy { logging: Conditional::Required(logging) });
        scene
    };
    assert_eq!(refused(&logged("mimi://a.example/d/archive/1")), "not_logged");
    assert!(start(&logged("mimi://a.example/d/alice/phone")).is_ok());
}

#[test]
fn limits_hold_from_the_start() {
    let scene = Scene::empty("strict").device(ALICE, "laptop");
    assert_eq!(refused(&scene.clone().base(|base| base.multi_device = false)), "second_client");
    assert_eq!(refused(&scene.clone().base(|base| base.max_clients = Some(1))), "max_clients");
    assert_eq!(refused(&scene.clone().base(|base| base.policy_component_ids.clear())), "policy_components");
    assert_eq!(refused(&scene.role(SUPER, |role| role.max_active = Some(0))), "max_active");
}

#[test]
fn a_group_without_roles_or_list_is_no_room() {
    let mut scene = Scene::empty("strict");
    scene.view.components.remove(ComponentId::ROLES_LIST);
    assert_eq!(RoomState::read(&scene.view).unwrap_err().code(), "no_roles");
    let mut scene = Scene::empty("strict");
    scene.view.components.remove(ComponentId::PARTICIPANT_LIST);
    assert_eq!(RoomState::read(&scene.view).unwrap_err().code(), "no_participants");
}

#[test]
fn a_list_with_a_user_twice_or_a_role_that_is_not_there_is_no_list() {
    let twice = Scene::empty("strict").with(ALICE, USER, &[]);
    assert_eq!(RoomState::read(&twice.view).unwrap_err().code(), "already_listed");
    for role in [NO_ROLE, 99] {
        let unknown = Scene::empty("strict").with(BOB, role, &[]);
        assert_eq!(RoomState::read(&unknown.view).unwrap_err().code(), "unknown_role");
    }
}

#[test]
fn without_a_base_policy_the_defaults_hold() {
    let mut scene = Scene::of("strict");
    scene.view.components.remove(ComponentId::BASE_ROOM_POLICY);
    let state = scene.state();
    let base = state.base_policy();
    assert!(base.multi_device && base.persistent_room && !base.fixed_membership && !base.pseudonyms_allowed);
    assert_eq!((base.max_clients, base.max_users), (None, None));
    scene.view.components.remove(ComponentId::MLS_OPERATIONAL_POLICY);
    assert_eq!(scene.state().epoch_tolerance(), 2);
}

#[test]
fn a_guest_may_react_but_not_speak_and_both_reach_the_hub_as_messages() {
    let scene = Scene::empty("moderated").with(BOB, 2, &["phone"]).with(CATHY, BANNED, &[]);
    let state = scene.state();
    assert!(!state.holds(&user(BOB), Capability::SEND_MESSAGE));
    assert!(state.may_react(&user(BOB)) && state.may_send(&user(BOB)) && state.may_receive(&user(BOB)));
    assert!(!state.may_send(&user(CATHY)) && !state.may_receive(&user(CATHY)));
    assert!(!state.may_send(&user(DIANA)));
}
