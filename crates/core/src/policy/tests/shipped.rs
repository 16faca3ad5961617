use super::*;

#[test]
fn every_test_of_the_shipped_bundle_is_true() {
    let bundle = Bundle::load(shipped_files()).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    let outcomes = run_cases(&bundle);
    let failures: Vec<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.holds())
        .map(|outcome| format!("{}:{}: {}: {:?}", outcome.file, outcome.line, outcome.it, outcome.differences))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(outcomes.len() > 40);
}

#[test]
fn the_shipped_bundle_is_checked_without_a_finding() {
    let (_, warnings) = Bundle::check(shipped_files()).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    assert!(warnings.is_empty(), "{warnings:#?}");
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

#[test]
fn the_shipped_policies_are_written_in_their_one_form() {
    for (file, text) in shipped_files().iter().filter(|(file, _)| file.ends_with(".cedar")) {
        let text = std::str::from_utf8(text).unwrap();
        assert_eq!(format(file, text).as_deref(), Ok(text), "{file}");
    }
}

#[test]
fn what_cannot_be_read_is_not_formatted() {
    let wrong = format("ceiling/x.cedar", "forbid (principal, action,\nresource").unwrap_err();
    assert!(wrong[0].to_string().starts_with("ceiling/x.cedar:2:"), "{wrong:?}");
}

#[test]
fn what_a_file_begins_with_stays_apart_from_its_first_policy() {
    let text = "// About this file.\n\n\n// About the policy.\npermit(principal,action,resource);\n";
    let formatted = format("x.cedar", text).unwrap();
    assert!(formatted.starts_with("// About this file.\n\n// About the policy.\npermit ("), "{formatted}");
    assert_eq!(format("x.cedar", &formatted).unwrap(), formatted);
    let own = "// About the policy.\npermit (principal, action, resource);\n";
    assert_eq!(format("x.cedar", own).unwrap(), own);
}
