//! What a bundle promises, as far as it takes no proof.

use super::*;

const MUTED: &str = "@id(\"promise.muted-mine\")\n@doc(\"who is muted sends nothing\")\n\
    forbid (principal is Mimi::User, action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\n\
    when { resource.muted.contains(principal) };\n";

fn mine(bundle: &Bundle) -> Vec<Invariant<'_>> {
    bundle.invariants().filter(|invariant| invariant.id().ends_with("-mine")).collect()
}

#[test]
fn an_invariant_decides_nothing_and_has_a_name_words_and_a_place() {
    let all = MUTED.replace("when { resource.muted.contains(principal) }", "");
    let bundle = Bundle::load(files_with(&[("invariants/mine.cedar", &all)])).unwrap();
    let invariants = mine(&bundle);
    assert_eq!(invariants.len(), 1);
    assert_eq!(
        (invariants[0].doc(), invariants[0].place()),
        ("who is muted sends nothing", ("invariants/mine.cedar", 1))
    );
    assert!(!invariants[0].allows() && !bundle.policy_ids().any(|id| id.ends_with("-mine")));
    let (room, bob, source) = (clubhouse(), Actor::User(user("b.example/u/bob")), domain("b.example"));
    assert!(Engine::new(&bundle).decide(&question(&room, &bob, Capability::SEND_MESSAGE, None, &source)).allow);
    // That it is broken the tests of the bundle show: some of them send messages.
    assert!(
        bundle
            .broken_by_cases()
            .iter()
            .any(|(of, file, ..)| of.id() == "promise.muted-mine" && file.starts_with("tests/"))
    );
}

#[test]
fn no_test_of_the_shipped_bundle_breaks_what_it_promises() {
    let bundle = Bundle::load(shipped_files()).unwrap();
    assert!(bundle.invariants().count() >= 5 && bundle.invariants().all(|invariant| !invariant.doc().is_empty()));
    let broken: Vec<String> =
        bundle.broken_by_cases().iter().map(|(of, _, _, it)| format!("{}: {it}", of.id())).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn an_invariant_is_valid_by_the_schema_and_speaks_of_what_there_is() {
    for (from, to, message) in [
        ("@id(\"promise.muted-mine\")\n", "", "policy has no `@id`"),
        ("@doc", "@reason(\"X\") @doc", "unknown annotation `@reason`"),
        ("resource.muted", "resource.mutd", "mutd"),
        ("resource.muted.contains(principal)", "principal in Mimi::Segment::\"tradng\"", "is nothing that exists"),
    ] {
        let wrong = diagnostics_with(&[("invariants/mine.cedar", &MUTED.replace(from, to))]);
        assert!(wrong.iter().all(|one| one.starts_with("invariants/mine.cedar:")), "{wrong:#?}");
        assert!(wrong.iter().any(|one| one.contains(message)), "{message}: {wrong:#?}");
    }
}
