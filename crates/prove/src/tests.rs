use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use portcullis_core::policy::{Bundle, Verdict};

use super::*;

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

/// The shipped files, those of examples too.
fn folder() -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut files = BTreeMap::new();
    collect(&root, &root, &mut files);
    files
}

/// The shipped bundle with some files added or replaced.
fn bundle(more: &[(&str, &str)]) -> Bundle {
    let mut files = folder();
    files.retain(|file, _| !file.starts_with("examples/") && !file.starts_with("invariants/"));
    files.extend(more.iter().map(|(file, text)| ((*file).to_owned(), text.as_bytes().to_vec())));
    Bundle::load(files).unwrap_or_else(|wrong| panic!("{wrong:#?}"))
}

/// With time enough on a machine that does much else beside.
fn solver() -> Solver {
    Solver::new("cvc5", Duration::from_secs(300)).unwrap()
}

fn proof(of: &Bundle) -> Found {
    let mut proofs = prove(of, &mut solver());
    assert_eq!(proofs.len(), 1);
    proofs.remove(0).found
}

const SUSPENDED_SEND_NOTHING: &str = "@id(\"suspended-send-nothing\") @doc(\"suspended users send nothing\")\n\
    forbid (principal is Mimi::User, action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room)\n\
    when { principal.suspended };\n";

#[test]
fn an_invariant_that_holds_is_proven_and_one_that_does_not_is_broken_by_a_question_that_the_engine_allows() {
    assert!(matches!(proof(&bundle(&[("invariants/a.cedar", SUSPENDED_SEND_NOTHING)])), Found::Proven(1)));
    let never = SUSPENDED_SEND_NOTHING.replace("principal.suspended", "principal.clearance == 2");
    let Found::Broken(witness) = proof(&bundle(&[("invariants/a.cedar", &never)])) else { panic!() };
    assert!(witness.verdict.allow && !witness.verdict.determining.is_empty(), "{witness:#?}");
    let said = &witness.entities[&witness.principal];
    assert_eq!((said["clearance"].as_str(), said["suspended"].as_str()), ("2", "false"), "{witness:#?}");
    assert_eq!(witness.action, "Mimi::Action::\"canSendMessage\"");
}

#[test]
fn what_must_always_be_allowed_is_broken_by_a_forbid_and_by_a_policy_that_can_fail() {
    let always = "@id(\"owners-create\") permit (principal is Mimi::User, action == Mimi::Action::\"canCreateRoom\", \
        resource is Mimi::Room)\nwhen { context.side == \"hub\" && principal.provider == resource.host && \
        context.source == principal.provider && !resource.barred.contains(principal) && !(context has target) && \
        !principal.suspended && !principal.provider.suspended && !resource.host.suspended && \
        resource.ciphersuites.contains(context.suite) };\n";
    let found = proof(&bundle(&[("invariants/a.cedar", always)]));
    assert!(matches!(found, Found::Proven(1)), "{found:#?}");
    let late = "@id(\"late\") @reason(\"LATE\") forbid (principal, action == Mimi::Action::\"canCreateRoom\", \
        resource is Mimi::Room) when { context.epoch > 5 };\n";
    let found = proof(&bundle(&[("invariants/a.cedar", always), ("ceiling/late.cedar", late)]));
    assert!(matches!(found, Found::Broken(ref witness) if witness.verdict.determining == ["late"]), "{found:#?}");
    let counts = late.replace("context.epoch > 5", "context.epoch * 2 < 0");
    let found = proof(&bundle(&[("invariants/a.cedar", always), ("ceiling/late.cedar", &counts)]));
    assert!(matches!(found, Found::NotProven(ref left) if left[0].contains("`late` can fail")), "{found:#?}");
}

#[test]
fn a_test_of_the_bundle_that_breaks_an_invariant_shows_it_without_a_solver() {
    let never = SUSPENDED_SEND_NOTHING.replace("principal.suspended", "true");
    let bundle = bundle(&[("invariants/a.cedar", &never)]);
    let proofs = prove(&bundle, &mut Solver::new("/nowhere/cvc5", Duration::from_secs(1)).unwrap());
    assert!(matches!(&proofs[0].found, Found::BrokenByCase(file, line, _) if file.starts_with("tests/") && *line > 1));
}

#[test]
fn without_a_solver_nothing_is_proven_and_nothing_is_called_the_same() {
    let (old, mut none) = (bundle(&[]), Solver::new("/nowhere/cvc5", Duration::from_secs(1)).unwrap());
    let promising = bundle(&[("invariants/a.cedar", SUSPENDED_SEND_NOTHING)]);
    let found = prove(&promising, &mut none).remove(0).found;
    assert!(matches!(&found, Found::NotProven(why) if why[0].contains("is cvc5 installed?")), "{found:#?}");
    let size = "@id(\"small\") @reason(\"SMALL\") forbid (principal, action == Mimi::Action::\"canSendMessage\", \
        resource is Mimi::Room) when { context.messageBytes > 10 };\n";
    let found = differences(&old, &bundle(&[("ceiling/small.cedar", size)]), &mut none);
    assert!(!found.is_same() && found.not_proven.len() == 1, "{found:#?}");
    // What does not differ needs no solver.
    assert!(differences(&old, &promising, &mut none).is_same());
}

fn size(condition: &str) -> Bundle {
    let policy = format!(
        "@id(\"small\") @reason(\"SMALL\") forbid (principal, action == Mimi::Action::\"canSendMessage\", \
         resource is Mimi::Room) when {{ {condition} }};\n"
    );
    bundle(&[("ceiling/small.cedar", &policy)])
}

#[test]
fn what_is_written_otherwise_and_says_the_same_is_proven_to() {
    let found = differences(&size("context.messageBytes > 10"), &size("!(context.messageBytes <= 10)"), &mut solver());
    assert!(found.is_same() && found.same > 80, "{found:#?}");
}

#[test]
fn what_is_newly_allowed_and_denied_is_shown_by_questions_that_both_engines_were_asked() {
    let found = differences(&size("context.messageBytes > 10"), &size("context.messageBytes > 12"), &mut solver());
    let [(witness, was)] = found.newly_allowed.as_slice() else { panic!("{found:#?}") };
    assert!(["11", "12"].contains(&witness.context["messageBytes"].as_str()), "{witness:#?}");
    assert!(witness.verdict.allow && !was.allow && was.determining == ["small"], "{witness:#?} {was:#?}");
    assert!(found.newly_denied.is_empty() && found.not_proven.is_empty(), "{found:#?}");
    let found = differences(&bundle(&[]), &size("principal.clearance < 1"), &mut solver());
    let [(witness, Verdict { allow: true, .. })] = found.newly_denied.as_slice() else { panic!("{found:#?}") };
    assert_eq!(witness.verdict.determining, ["small"]);
    assert!(found.newly_allowed.is_empty(), "{found:#?}");
}

#[test]
fn a_changed_policy_that_can_fail_is_never_called_the_same() {
    let found = differences(&size("context.messageBytes > 10"), &size("context.messageBytes * 9 > 90"), &mut solver());
    assert!(!found.is_same(), "{found:#?}");
    assert!(found.not_proven.iter().any(|left| left.contains("`small` can fail")), "{found:#?}");
}

const TEMPLATE: &str = "@id(\"read-only\") @reason(\"READ_ONLY\") forbid (principal == ?principal, \
    action == Mimi::Action::\"canSendMessage\", resource == ?resource);\n";

fn linked(links: usize) -> String {
    let links: String = (0..links)
        .map(|n| format!("    - {{ user: mimi://b.example/u/u{n}, room: mimi://a.example/r/x }}\n"))
        .collect();
    format!("- template: read-only\n  links:\n{links}")
}

#[test]
fn links_are_analysed_as_far_as_they_differ_and_no_proof_against_forbids_hangs_on_them() {
    let with = |links: usize| {
        let links = linked(links);
        bundle(&[
            ("templates/a.cedar", TEMPLATE),
            ("rooms/a.yaml", &links),
            ("invariants/a.cedar", SUSPENDED_SEND_NOTHING),
        ])
    };
    let many = with(300);
    assert!(matches!(proof(&many), Found::Proven(1)));
    let found = differences(&many, &with(301), &mut solver());
    let [(witness, _)] = found.newly_denied.as_slice() else { panic!("{found:#?}") };
    assert_eq!(witness.principal, "Mimi::User::\"mimi://b.example/u/u300\"");
    let found = differences(&with(1), &many, &mut solver());
    assert!(found.not_proven.iter().any(|left| left.contains("links that differ")), "{found:#?}");
}

#[test]
fn all_that_the_bundles_of_the_sectors_promise_is_proven() {
    let all = folder();
    for sector in ["sector-banking", "sector-health", "sector-public"] {
        let prefix = format!("examples/{sector}/");
        let own = all.iter().filter_map(|(file, text)| Some((file.strip_prefix(&prefix)?, text)));
        let own: Vec<(&str, &str)> = own.map(|(file, text)| (file, std::str::from_utf8(text).unwrap())).collect();
        // The cases of the shipped bundle are about the shipped bundle.
        let mut files = folder();
        files.retain(|file, _| ["examples/", "invariants/", "tests/"].iter().all(|of| !file.starts_with(of)));
        files.extend(own.iter().map(|(file, text)| ((*file).to_owned(), text.as_bytes().to_vec())));
        let bundle = Bundle::load(files).unwrap_or_else(|wrong| panic!("{sector}: {wrong:#?}"));
        let proofs = prove(&bundle, &mut solver());
        assert!(proofs.len() >= 2, "{sector}");
        for proof in proofs {
            assert!(matches!(proof.found, Found::Proven(_)), "{sector}: {proof:#?}");
        }
    }
}

#[test]
fn all_that_the_shipped_bundle_promises_is_proven() {
    let mut files = folder();
    files.retain(|file, _| !file.starts_with("examples/"));
    let proofs = prove(&Bundle::load(files).unwrap(), &mut solver());
    assert!(proofs.len() >= 5);
    for proof in proofs {
        assert!(matches!(proof.found, Found::Proven(_)), "{proof:#?}");
    }
}
