//! The example rules, each over the shipped bundle.

use super::*;

const NAMES: [&str; 11] = [
    "provider-tiers",
    "information-barrier",
    "clearance",
    "ciphersuite-floor",
    "contractor-hours",
    "managed-devices",
    "guests",
    "jurisdiction",
    "sector-banking",
    "sector-health",
    "sector-public",
];

fn example(name: &str) -> BTreeMap<String, Vec<u8>> {
    let all = files_of_folder();
    let prefix = format!("examples/{name}/");
    let own = all.iter().filter_map(|(file, text)| Some((file.strip_prefix(&prefix)?.to_owned(), text.clone())));
    let mut files: BTreeMap<String, Vec<u8>> = all
        .iter()
        .filter(|(file, _)| !file.starts_with("tests/"))
        .map(|(file, text)| (file.clone(), text.clone()))
        .collect();
    files.extend(own);
    files
}

#[test]
fn every_example_is_listed_and_has_a_test() {
    let files = files_of_folder();
    let folders: BTreeSet<&str> = files
        .keys()
        .filter_map(|file| file.strip_prefix("examples/")?.split_once('/').map(|(folder, _)| folder))
        .collect();
    assert_eq!(folders, NAMES.into_iter().collect());
    let page = String::from_utf8_lossy(&files["examples/README.md"]);
    assert!(NAMES.iter().all(|name| page.contains(&format!("| `{name}` |"))));
}

#[test]
fn every_example_is_good_and_all_that_its_tests_say_is_true() {
    for name in NAMES {
        let (bundle, warnings) = Bundle::check(example(name)).unwrap_or_else(|wrong| panic!("{name}: {wrong:#?}"));
        assert!(warnings.is_empty(), "{name}: {warnings:#?}");
        let outcomes = run_cases(&bundle);
        let failed: Vec<&CaseOutcome> = outcomes.iter().filter(|outcome| !outcome.holds()).collect();
        assert!(failed.is_empty(), "{name}: {failed:#?}");
        let policies = Coverage::of(&bundle).policies;
        let own: Vec<_> = policies.iter().filter(|policy| policy.id.starts_with("example.")).collect();
        assert!(!own.is_empty() && own.iter().all(|policy| policy.decides > 0), "{name}: {own:#?}");
    }
}

#[test]
fn every_example_is_written_in_its_one_form() {
    for (file, text) in files_of_folder().iter().filter(|(file, _)| file.starts_with("examples/")) {
        if file.ends_with(".cedar") {
            let text = std::str::from_utf8(text).unwrap();
            assert_eq!(format(file, text).as_deref(), Ok(text), "{file}");
        }
    }
}
