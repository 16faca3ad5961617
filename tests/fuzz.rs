//! The fuzz targets on stable: over the corpus that is kept, and over a seed of every decoder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::decoders::{TARGETS, Target, misunderstood, seeds, unasked};

/// Names a folder that [`every_decoder_takes_a_seed`] writes the seeds to, one folder a target.
const SEEDS: &str = "PORTCULLIS_SEEDS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn replay(target: Target) {
    let folder = root().join("fuzz/corpus").join(target.name);
    let inputs: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        let ran = std::panic::catch_unwind(|| target.run(&bytes));
        assert!(ran.is_ok(), "{} breaks its target", input.display());
    }
}

macro_rules! corpus {
    ($($test:ident: $target:ident;)+) => {
        $(#[test]
        fn $test() {
            replay(super::decoders::$target);
        })+

        /// The targets whose corpus is replayed.
        const REPLAYED: &[&str] = &[$(super::decoders::$target.name),+];
    };
}

corpus! {
    the_corpus_of_components_holds: COMPONENTS;
    the_corpus_of_endpoints_holds: ENDPOINTS;
    the_corpus_of_objects_holds: OBJECTS;
    the_corpus_of_identity_holds: IDENTITY;
    the_corpus_of_policy_holds: POLICY;
    the_corpus_of_groups_holds: GROUPS;
    the_corpus_of_handshakes_holds: HANDSHAKES;
    the_corpus_of_doors_holds: DOORS;
    the_corpus_of_federation_holds: FEDERATION;
    the_corpus_of_log_holds: LOG;
    the_corpus_of_export_holds: EXPORT;
    the_corpus_of_records_holds: RECORDS;
}

#[test]
fn every_target_has_a_binary_and_a_corpus_and_nothing_else_has() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    for folder in ["fuzz/corpus", "fuzz/fuzz_targets"] {
        let found = fs::read_dir(root().join(folder)).unwrap();
        let found: BTreeSet<String> =
            found.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(found, names, "{folder}");
    }
    assert_eq!(REPLAYED.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), names);
}

#[test]
fn every_route_has_a_seed_that_it_understands() {
    assert_eq!(misunderstood(), Vec::<String>::new());
    assert_eq!(unasked(), Vec::<&str>::new());
}

#[test]
fn every_decoder_takes_a_seed() {
    // Opens what is sealed to a key of its own only.
    let mut without: BTreeSet<&str> = TARGETS.iter().flat_map(|target| target.decoders).map(|it| it.name).collect();
    without.remove("HPKE ciphertext");
    let folder = std::env::var_os(SEEDS).map(PathBuf::from);
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    for (target, input) in seeds() {
        let target = TARGETS.iter().find(|it| it.name == target).unwrap();
        if target.run(&input) {
            without.remove(target.decoders[usize::from(input[0])].name);
        }
        if let Some(folder) = &folder {
            let folder = folder.join(target.name);
            fs::create_dir_all(&folder).unwrap();
            let number = written.entry(target.name).or_default();
            fs::write(folder.join(format!("seed-{number:03}")), input).unwrap();
            *number += 1;
        }
    }
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn every_struct_of_the_wire_is_decoded_by_a_target() {
    let targets: String = sources_below("fuzz/src").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut unreached = Vec::new();
    for path in sources_below("crates/core/src") {
        let text = fs::read_to_string(&path).unwrap();
        // A private one is reached through the decoder in its file that uses it.
        let is_private =
            |name: &str| ["", "pub(super) "].iter().any(|of| text.contains(&format!("\n{of}struct {name} ")));
        for name in wire_structs(&text).filter(|name| !is_private(name)) {
            if !["through", "canonical"].iter().any(|by| targets.contains(&format!("{by}::<{name}>"))) {
                unreached.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(unreached.is_empty(), "{unreached:#?}");
}

/// The types that a file makes `Wire`.
fn wire_structs(text: &str) -> impl Iterator<Item = &str> {
    let listed = text.split("\nwire!(").skip(1).flat_map(|after| after.split(");").next().unwrap().split(','));
    let spans = text.split("\nkept_as_bytes! {").skip(1).flat_map(|after| after.split('}').next().unwrap().split(';'));
    let spans = spans.filter_map(|span| span.split_once('(').map(|(name, _)| name));
    let alone = text.split("\nimpl Wire for ").skip(1).map(|after| after.split(" {").next().unwrap());
    listed.chain(spans).chain(alone).map(str::trim).filter(|name| !name.is_empty())
}

fn sources_below(folder: &str) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}
