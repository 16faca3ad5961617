//! Tests of the stage as a whole, over the shipped bundle.

mod bounds;
mod bundle;
mod cases;
mod diff;
mod differential;
mod examples;
mod invariants;
mod links;
mod lints;
mod obligations;
mod people;
mod promises;
mod queries;
mod recorded;
mod rules;
mod shipped;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::room::Actor;
use crate::time::Millis;
use crate::wire::components::Capability;
use crate::wire::uri::{Domain, UserUri};

/// The shipped bundle's files by their path in it.
fn shipped_files() -> BTreeMap<String, Vec<u8>> {
    let mut files = files_of_folder();
    files.retain(|file, _| !file.starts_with("examples/"));
    files
}

/// The same with the examples that stand beside it.
fn files_of_folder() -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut files = BTreeMap::new();
    collect(&root, &root, &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// The shipped bundle with some files added or replaced.
fn files_with(more: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let mut files = shipped_files();
    files.extend(more.iter().map(|(file, text)| ((*file).to_owned(), text.as_bytes().to_vec())));
    files
}

fn engine_with(more: &[(&str, &str)]) -> Engine {
    Engine::new(&Bundle::load(files_with(more)).unwrap())
}

fn diagnostics_with(more: &[(&str, &str)]) -> Vec<String> {
    Bundle::load(files_with(more)).unwrap_err().iter().map(ToString::to_string).collect()
}

fn user(uri: &str) -> UserUri {
    UserUri::parse(&format!("mimi://{uri}")).unwrap()
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// A room of a.example: alice administers, bob is an ordinary user, mallory is banned.
fn clubhouse() -> RoomFacts {
    let admin = [
        Capability::ADD_PARTICIPANT,
        Capability::REMOVE_PARTICIPANT,
        Capability::BAN,
        Capability::KICK,
        Capability::CHANGE_USER_ROLE,
        Capability::DESTROY_ROOM,
    ];
    let ordinary = [
        Capability::ADD_OWN_CLIENT,
        Capability::REMOVE_OWN_CLIENT,
        Capability::REMOVE_SELF,
        Capability::SEND_MESSAGE,
        Capability::REPORT_ABUSE,
    ];
    let role = |index, name: &str, capabilities: &[Capability]| {
        let capabilities = capabilities.iter().copied().collect();
        Arc::new(RoleFacts { index, name: name.to_owned(), capabilities })
    };
    let everything: Vec<Capability> = admin.into_iter().chain(ordinary).collect();
    RoomFacts {
        room: "mimi://a.example/r/clubhouse".parse().unwrap(),
        side: Side::Hub,
        roles: Some(Membership {
            participants: Arc::new(BTreeMap::from([
                (user("a.example/u/alice"), 3),
                (user("b.example/u/bob"), 2),
                (user("c.example/u/mallory"), 1),
            ])),
            roles: [
                role(0, "no_role", &[]),
                role(1, "banned", &[]),
                role(2, "ordinary_user", &ordinary),
                role(3, "group_admin", &everything),
            ]
            .into_iter()
            .collect(),
        }),
        muted: BTreeSet::new(),
        barred: Default::default(),
        frozen: false,
        legal_hold: false,
    }
}

/// A question with everything in its favour.
fn question<'a>(
    room: &'a RoomFacts,
    actor: &'a Actor,
    capability: Capability,
    target: Option<&'a UserUri>,
    source: &'a Domain,
) -> Question<'a> {
    Question {
        room,
        actor,
        capability,
        target,
        from_role: 0,
        to_role: 0,
        transition_authorized: true,
        alternative_granted: false,
        preauthorized: false,
        external: false,
        suite: 1,
        epoch: 7,
        message_bytes: 100,
        source,
        now: Millis(1_795_257_600_000),
    }
}
