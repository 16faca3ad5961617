use super::*;

#[test]
fn every_test_of_the_shipped_bundle_is_true() {
    let bundle = Bundle::load(shipped_files()).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    let outcomes = run_cases(&bundle);
    let failures: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| Some(format!("{}: {}: {}", outcome.file, outcome.it, outcome.failure.as_ref()?)))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(outcomes.len() > 40);
}

#[test]
fn every_shipped_policy_decides_in_some_test() {
    let bundle = Bundle::load(shipped_files()).unwrap();
    let used: BTreeSet<String> =
        run_cases(&bundle).into_iter().flat_map(|outcome| outcome.verdict.determining).collect();
    let unused: Vec<String> = bundle.policy_ids().filter(|id| !used.contains(id)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn the_public_sentence_of_a_refusal_names_no_policy_and_no_reason() {
    let bundle = Bundle::load(shipped_files()).unwrap();
    let ids: Vec<String> = bundle.policy_ids().collect();
    for outcome in run_cases(&bundle) {
        let sentence = outcome.verdict.public_sentence();
        assert!(!ids.iter().any(|id| sentence.contains(id)), "{sentence}");
        assert!(!sentence.contains(&outcome.verdict.reason), "{sentence}");
        assert!(!sentence.is_empty());
    }
}

#[test]
fn a_refusal_always_has_a_reason() {
    let bundle = Bundle::load(shipped_files()).unwrap();
    for outcome in run_cases(&bundle) {
        assert!(!outcome.verdict.reason.is_empty(), "{}", outcome.it);
    }
}
