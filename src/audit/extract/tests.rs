//! A real log in a real database, taken out and looked at, as it is and after somebody has changed it.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::audit::{AuditRecord, Filter, Leaf, Outcome, tree_head};
use portcullis_store::{Options, Store, Tx};
use portcullis_tlog::{Note, Policy, Signer, TreeHead};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::super::checkpoint;
use super::write::sum;
use super::{
    Checked, ENTRIES, ExtractError, FILES, MANIFEST, Manifest, NOTE, Part, TABLE, Trust, WRITERS, Wish, check, extract,
    to_sign,
};
use crate::gateway::Clock;

const ROOM: &str = "mimi://a.example/r/clubhouse";

struct World {
    dir: TempDir,
    store: Store,
    clock: Clock,
    signer: Signer,
}

fn signer(seed: u8) -> Signer {
    Signer::new("a.example/audit".parse().unwrap(), Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
}

impl World {
    /// A log of so many records and the beginning of their chain: of every three one is of the room.
    fn new(records: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store =
            Store::open(&format!("sqlite:{}", dir.path().join("test.db").display()), &Options::default()).unwrap();
        let world = Self { dir, store, clock: Clock::default(), signer: signer(7) };
        world.append(records);
        world
    }

    fn append(&self, records: u64) {
        let now = self.clock.now();
        let records: Vec<AuditRecord> = (0..records)
            .map(|number| {
                let mut record = AuditRecord::new(Uuid::now_v7(), now, "decision.message", Outcome::Allow);
                record.room = RoomUri::parse(if number % 3 == 1 { ROOM } else { "mimi://a.example/r/lobby" }).ok();
                record.actor =
                    Some(if number % 2 == 0 { "=cmd|'/c calc'!A0" } else { "mimi://b.example/u/bob" }.to_owned());
                record.peer = Domain::parse("b.example").ok();
                record.reason = "ROLE_GRANTS".to_owned();
                record.policy = vec!["mimi.role-capability".to_owned()];
                record.detail = json!({ "count": number, "note": "two\nlines, and \"quotes\"" });
                record
            })
            .collect();
        let stage = move |tx: &mut Tx<'_>| records.iter().try_for_each(|record| tx.stage(record));
        self.store.write("x", stage).unwrap();
    }

    fn wish(&self, out: &str, filter: Filter) -> Wish {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        Wish { out: self.dir.path().join(out), filter, zone, since: Vec::new(), by: "operator:ann".to_owned() }
    }

    fn extract(&self, wish: &Wish) -> Result<Manifest, ExtractError> {
        extract(&self.store, &self.signer, &self.clock, wish, |_, _| ())
    }

    fn check(&self, wish: &Wish, kept: &[TreeHead]) -> Checked {
        check(&wish.out, &Trust { keys: vec![self.signer.key().clone()], policy: None }, kept).unwrap()
    }
}

fn of_room() -> Filter {
    Filter { room: RoomUri::parse(ROOM).ok(), ..Filter::default() }
}

fn wrong(checked: &Checked) -> BTreeSet<Part> {
    checked.findings.iter().filter(|(_, finding)| finding.wrong > 0).map(|(part, _)| *part).collect()
}

#[test]
fn all_of_a_room_an_actor_or_a_peer_is_taken_out_and_shown_to_be_all() {
    let world = World::new(60);
    checkpoint(&world.store, &world.clock, &world.signer).unwrap();
    let kept = world.store.read(tree_head).unwrap();
    world.append(30);
    let bob = Filter { actor: Some("mimi://b.example/u/bob".to_owned()), ..Filter::default() };
    let peer = Filter { peer: Domain::parse("b.example").ok(), ..Filter::default() };
    for (out, filter, entries) in [("room", of_room(), 31), ("actor", bob, 46), ("peer", peer, 91)] {
        let wish = Wish { since: vec![kept.size], ..world.wish(out, filter) };
        let made = world.extract(&wish).unwrap();
        // The last one points back to the others.
        assert_eq!((made.entries, made.all_of.is_some()), (entries, true), "{out}");
        let checked = world.check(&wish, &[kept]);
        assert!(checked.is_good(), "{checked:#?}");
        assert_eq!(checked.entries, entries);
        assert!(Part::ALL.iter().all(|part| checked.findings[part].checked > 0), "{checked:#?}");
        let other = TreeHead { root: portcullis_tlog::Hash::leaf(b""), ..kept };
        assert_eq!(wrong(&world.check(&wish, &[other])), [Part::Consistency].into());
        assert_eq!(wrong(&world.check(&wish, &[TreeHead { size: 3, ..kept }])), [Part::Consistency].into());
    }
    // What is written after it does not belong to it, and belongs to the next one.
    world.append(3);
    assert!(world.check(&world.wish("room", of_room()), &[]).is_good());
    let again = world.wish("again", of_room());
    assert_eq!(world.extract(&again).unwrap().entries, 33);
    assert!(world.check(&again, &[]).is_good());
}

#[test]
fn of_what_is_asked_for_otherwise_nothing_is_claimed_but_what_was_written() {
    let world = World::new(30);
    let wish = world.wish("some", Filter { outcome: Some(Outcome::Allow), ..of_room() });
    let made = world.extract(&wish).unwrap();
    assert_eq!((made.entries, made.all_of), (10, None));
    let checked = world.check(&wish, &[]);
    assert!(checked.is_good() && !checked.findings.contains_key(&Part::Complete), "{checked:#?}");
    let table = fs::read_to_string(wish.out.join(TABLE)).unwrap();
    assert!(table.contains("\"'=cmd|'/c calc'!A0\"") && !table.contains(",=cmd"), "{table}");
    assert!(matches!(world.extract(&wish), Err(ExtractError::Finished(_))));
}

#[test]
fn a_checkpoint_that_no_witness_has_seen_is_not_enough_where_the_policy_wants_one() {
    let world = World::new(3);
    let wish = world.wish("some", of_room());
    world.extract(&wish).unwrap();
    let key = world.signer.key();
    let witness = portcullis_tlog::Cosigner::new(
        "w.example".parse().unwrap(),
        Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap(),
    );
    for (quorum, parts) in [("none", BTreeSet::new()), ("w", [Part::Checkpoint].into())] {
        let policy = format!("log {key}\nwitness w {}\nquorum {quorum}\n", witness.key());
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        let trust = Trust { keys: vec![key.clone()], policy: Some(policy) };
        assert_eq!(wrong(&check(&wish.out, &trust, &[]).unwrap()), parts);
    }
}

#[test]
fn what_was_interrupted_goes_on_and_is_the_same_in_the_end() {
    let world = World::new(2500);
    let all = Filter { kind: Some("decision.message".to_owned()), ..Filter::default() };
    let wish = world.wish("all", all);
    let interrupted = catch_unwind(AssertUnwindSafe(|| {
        extract(&world.store, &world.signer, &world.clock, &wish, |done, of| {
            assert_eq!(of, 2500);
            assert!(done < 2000, "the machine goes down");
        })
    }));
    assert!(interrupted.is_err() && !wish.out.join(MANIFEST).exists());
    let mut half = fs::read(wish.out.join(ENTRIES)).unwrap();
    // Less than had been written when it was interrupted is of something else.
    fs::write(wish.out.join(ENTRIES), half.get(..10).unwrap()).unwrap();
    assert!(matches!(world.extract(&wish), Err(ExtractError::Another(_))));
    half.extend(b"{\"time\":\"20");
    fs::write(wish.out.join(ENTRIES), half).unwrap();
    let other = world.wish("all", of_room());
    assert!(matches!(world.extract(&other), Err(ExtractError::Another(_))));
    world.append(10);
    let mut first = None;
    let made = extract(&world.store, &world.signer, &world.clock, &wish, |done, _| {
        first.get_or_insert(done);
    });
    let made = made.unwrap();
    assert_eq!((made.entries, first), (2500, Some(2500)));
    let checked = world.check(&wish, &[]);
    assert!(checked.is_good(), "{checked:#?}");
    let left = fs::read_dir(&wish.out).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.collect::<BTreeSet<_>>(), [ENTRIES, TABLE, WRITERS, MANIFEST, NOTE].map(str::to_owned).into());
}

/// What somebody does with the lines of a file.
type Change = fn(&mut Vec<String>);

fn edit(lines: &mut [String], line: usize, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&lines[line]).unwrap();
    change(&mut value);
    lines[line] = value.to_string();
}

#[test]
fn every_change_of_a_file_is_found_by_the_check_that_is_for_it_even_of_one_who_can_sign_the_manifest() {
    use Part::{Asked, Complete, Leaves, Numbers, Openings, Shown, Table, Writers};
    let world = World::new(30);
    let wish = world.wish("room", of_room());
    world.extract(&wish).unwrap();
    let whole: Vec<(PathBuf, Vec<u8>)> = [ENTRIES, TABLE, WRITERS, MANIFEST, NOTE]
        .map(|name| (wish.out.join(name), fs::read(wish.out.join(name)).unwrap()))
        .into();
    let restore = || whole.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let changes: Vec<(&str, &str, Change, Part)> = vec![
        ("an entry is left out", ENTRIES, |lines| drop(lines.remove(4)), Complete),
        ("the first is left out", ENTRIES, |lines| drop(lines.remove(0)), Complete),
        ("the last is left out", ENTRIES, |lines| drop(lines.pop()), Complete),
        ("the last two are left out", ENTRIES, |lines| lines.truncate(lines.len() - 2), Complete),
        ("all are left out", ENTRIES, Vec::clear, Complete),
        ("an entry is there twice", ENTRIES, |lines| lines.insert(4, lines[4].clone()), Numbers),
        ("two change places", ENTRIES, |lines| lines.swap(4, 5), Numbers),
        ("a line is none", ENTRIES, |lines| lines[4] = "{}".to_owned(), Leaves),
        (
            "a leaf is another's",
            ENTRIES,
            |lines| {
                let leaf = serde_json::from_str::<Value>(&lines[5]).unwrap()["leaf"].clone();
                edit(lines, 4, |line| line["leaf"] = leaf);
            },
            Leaves,
        ),
        (
            "a place that no log reaches",
            ENTRIES,
            |lines| {
                edit(lines, 4, |line| {
                    let leaf = STANDARD.decode(line["leaf"].as_str().unwrap()).unwrap();
                    let mut leaf = Leaf::decode(&leaf).unwrap();
                    leaf.place.as_mut().unwrap().seq = u64::MAX;
                    line["leaf"] = json!(STANDARD.encode(leaf.encode().unwrap()));
                });
            },
            Leaves,
        ),
        (
            "a hash of a path",
            ENTRIES,
            |lines| {
                edit(lines, 4, |line| line["path"][0] = json!(portcullis_tlog::Hash::leaf(b"").to_string()));
            },
            Leaves,
        ),
        (
            "a path is cut",
            ENTRIES,
            |lines| edit(lines, 4, |line| drop(line["path"].as_array_mut().unwrap().pop())),
            Leaves,
        ),
        ("a signature", ENTRIES, |lines| edit(lines, 4, |line| line["signature"] = json!("AAAA")), Writers),
        (
            "a value",
            ENTRIES,
            |lines| edit(lines, 4, |line| line["openings"]["reason"]["json"] = json!("\"MUTED\"")),
            Openings,
        ),
        ("a salt", ENTRIES, |lines| edit(lines, 4, |line| line["openings"]["actor"]["salt"] = json!("x")), Openings),
        (
            "a field is left out",
            ENTRIES,
            |lines| {
                edit(lines, 4, |line| drop(line["openings"].as_object_mut().unwrap().remove("detail")));
            },
            Openings,
        ),
        ("what is shown", ENTRIES, |lines| edit(lines, 4, |line| line["entry"]["outcome"] = json!("deny")), Shown),
        ("what else is shown", ENTRIES, |lines| edit(lines, 4, |line| line["entry"]["more"] = json!(1)), Shown),
        (
            "a time",
            ENTRIES,
            |lines| edit(lines, 4, |line| line["time"] = json!("2020-01-01T00:00:00.000+01:00")),
            Shown,
        ),
        ("a cell", TABLE, |lines| lines[5] = lines[5].replace("ROLE_GRANTS", "MUTED"), Table),
        ("a row is left out", TABLE, |lines| drop(lines.remove(5)), Table),
        ("a row more", TABLE, |lines| lines.push(lines[5].clone()), Table),
        ("a heading", TABLE, |lines| lines[0] = lines[0].replace("actor", "victim"), Table),
        ("a writer is left out", WRITERS, Vec::clear, Writers),
        ("the key of a writer", WRITERS, |lines| edit(lines, 0, |line| line["path"] = json!([])), Writers),
        (
            "what was asked for",
            MANIFEST,
            |lines| {
                for line in lines {
                    *line = line.replace(ROOM, "mimi://a.example/r/lobby");
                }
            },
            Asked,
        ),
        (
            "whose they are",
            MANIFEST,
            |lines| {
                for line in lines {
                    *line = line.replace("\"dimension\": \"room\"", "\"dimension\": \"actor\"");
                }
            },
            Complete,
        ),
    ];
    for (what, file, change, part) in changes {
        let path = wish.out.join(file);
        let text = fs::read_to_string(&path).unwrap();
        let end = if file == TABLE { "\r\n" } else { "\n" };
        let mut lines: Vec<String> = text.split_terminator(end).map(str::to_owned).collect();
        change(&mut lines);
        let changed: String = lines.iter().flat_map(|line| [line.as_str(), end]).collect();
        assert_ne!(changed.trim_end(), text.trim_end(), "{what}");
        fs::write(&path, changed).unwrap();
        let found = wrong(&world.check(&wish, &[]));
        let outer = if file == MANIFEST { Part::Manifest } else { Part::Files };
        assert!(found.contains(&outer), "{what}: {found:?}");
        // Whoever has the key of the log as well can make the manifest fit, and is found all the same.
        sign_again(&world, &wish);
        let found = wrong(&world.check(&wish, &[]));
        assert!(found.contains(&part) && !found.contains(&outer), "{what}: {found:?}");
        restore();
    }
    assert!(world.check(&wish, &[]).is_good());
    for name in FILES {
        fs::remove_file(wish.out.join(name)).unwrap();
        assert_eq!(wrong(&world.check(&wish, &[])), [Part::Files].into(), "{name}");
        restore();
    }
    fs::remove_file(wish.out.join(NOTE)).unwrap();
    assert_eq!(wrong(&world.check(&wish, &[])), [Part::Manifest].into());
    restore();
    let strangers = Trust { keys: vec![signer(8).key().clone()], policy: None };
    let found = wrong(&check(&wish.out, &strangers, &[]).unwrap());
    assert_eq!(found, [Part::Manifest, Part::Checkpoint].into());
}

/// Makes the manifest fit the files, and signs it.
fn sign_again(world: &World, wish: &Wish) {
    let mut manifest: Manifest = serde_json::from_slice(&fs::read(wish.out.join(MANIFEST)).unwrap()).unwrap();
    manifest.files = FILES.map(|name| (name.to_owned(), sum(&wish.out.join(name)).unwrap())).into();
    let text = fs::read_to_string(wish.out.join(ENTRIES)).unwrap();
    manifest.entries = text.lines().count() as u64;
    let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
    let text = to_sign(&bytes);
    let signature = world.signer.sign(&text);
    fs::write(wish.out.join(NOTE), Note::new(text, signature).unwrap().to_string()).unwrap();
    fs::write(wish.out.join(MANIFEST), bytes).unwrap();
}

#[test]
fn who_takes_out_what_is_on_the_record_before_it_is_there() {
    let world = World::new(9);
    world.extract(&world.wish("room", of_room())).unwrap();
    let filter = Filter { kind: Some("access.*".to_owned()), limit: 9, ..Filter::default() };
    let log = world.store.read(|conn| portcullis_store::audit::entries(conn, &filter)).unwrap();
    let [export, closed] = &log[..] else { panic!("{log:?}") };
    assert_eq!((export.record.kind.as_str(), export.record.actor.as_deref()), ("access.export", Some("operator:ann")));
    assert_eq!(export.record.detail, json!({ "asked": { "order": "oldest", "room": ROOM }, "entries": 3 }));
    assert_eq!((closed.record.kind.as_str(), closed.record.actor.as_deref()), ("access.closed", None));
}
