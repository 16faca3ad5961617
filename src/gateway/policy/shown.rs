//! What comes of asking a bundle, for programs: the same from the command line and at the admin door.

use portcullis_core::policy::{
    Answer, Bundle, BundleDiff, CaseOutcome, Change, Changed, Clause, Diagnostic, Explained, Holds, Joined,
    PolicyCoverage, Possible, Verdict, Why,
};
use portcullis_prove::{Differences, Found, Proof, Solver, Witness, differences};
use serde_json::{Value, json};

/// Something that is wrong with a bundle, or perhaps not meant so.
pub fn diagnostic(found: &Diagnostic) -> Value {
    let Diagnostic { file, line, column, message, help, severity, length } = found;
    json!({
        "severity": severity.name(), "file": file, "line": line, "column": column, "length": length,
        "message": message, "help": help,
    })
}

/// How a test came out.
pub fn outcome(outcome: &CaseOutcome) -> Value {
    let differences = outcome
        .differences
        .iter()
        .map(|difference| json!({ "of": difference.of, "expected": difference.expected, "got": difference.got }));
    json!({
        "file": outcome.file, "line": outcome.line, "it": outcome.it, "holds": outcome.holds(),
        "allow": outcome.verdict.allow, "policies": outcome.verdict.determining, "reason": outcome.verdict.reason,
        "obligations": outcome.verdict.obligations, "errors": outcome.verdict.errors, "differences": differences.collect::<Vec<_>>(),
    })
}

/// What the tests show of a policy.
pub fn coverage(policy: &PolicyCoverage) -> Value {
    let PolicyCoverage { id, file, line, decides, in_scope, clauses } = policy;
    let clauses =
        clauses.iter().map(|clause| json!({ "text": clause.text, "holds": clause.holds, "fails": clause.fails }));
    json!({
        "policy": id, "file": file, "line": line, "decides": decides, "in_scope": in_scope,
        "clauses": clauses.collect::<Vec<_>>(),
    })
}

/// Why a question is decided as it is.
pub fn why(why: &Why) -> Value {
    json!({
        "allow": why.verdict.allow, "action": why.action, "reason": why.verdict.reason,
        "public": why.verdict.public_sentence(), "enforced_here": why.enforcement.is_here(),
        "enforced_by": why.enforcement.whom(), "notes": why.verdict.notes, "errors": why.verdict.errors,
        "obligations": why.verdict.obligations,
        "facts": why.facts.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
        "attributes": why.attributes.iter().map(|(user, of)| json!({ "user": user, "attributes": of })).collect::<Vec<_>>(),
        "deciding": why.deciding.iter().map(policy_json).collect::<Vec<_>>(), "permitted_by": why.permitted_by,
        "near": why.near.iter().map(policy_json).collect::<Vec<_>>(),
    })
}

fn policy_json(policy: &Explained) -> Value {
    let parts =
        policy.parts.iter().map(|part| json!({ "kind": part.kind.name(), "clause": clause_json(&part.clause) }));
    json!({
        "policy": policy.id, "file": policy.file, "line": policy.line, "advisory": policy.advisory,
        "effect": if policy.forbids { "forbid" } else { "permit" }, "parts": parts.collect::<Vec<_>>(),
    })
}

fn clause_json(clause: &Clause) -> Value {
    let holds = match &clause.holds {
        Holds::Yes => json!(true),
        Holds::No => json!(false),
        Holds::Failed(error) => json!({ "failed": error }),
        Holds::NotReached => Value::Null,
    };
    let joined = clause.joined.map(|joined| match joined {
        Joined::All => "all",
        Joined::Any => "any",
        Joined::Not => "not",
    });
    json!({
        "text": clause.text, "holds": holds, "joined": joined,
        "parts": clause.parts.iter().map(clause_json).collect::<Vec<_>>(),
        "values": clause.values.iter().map(|(of, value)| json!({ "of": of, "value": value })).collect::<Vec<_>>(),
    })
}

/// Whether something is allowed.
pub fn possible(answer: Possible) -> &'static str {
    match answer {
        Possible::Yes => "yes",
        Possible::If => "if",
        Possible::No => "no",
    }
}

/// Who can, what can, or where.
pub fn answer(answer: &Answer) -> Value {
    let conditions = answer.conditions.iter().map(
        |condition| json!({ "policy": condition.policy, "forbids": condition.forbids, "condition": condition.text }),
    );
    json!({
        "subject": answer.subject, "possible": possible(answer.possible), "policies": answer.by,
        "conditions": conditions.collect::<Vec<_>>(), "enforced_here": answer.enforcement.is_here(),
        "unnamed": answer.unnamed,
    })
}

/// What is decided otherwise by two bundles, of all that can be asked.
pub fn compared(diff: &BundleDiff, (old, new): (&Bundle, &Bundle), solver: &mut Solver) -> Differences {
    if diff.schema.is_empty() {
        differences(old, new, solver)
    } else {
        Differences { not_proven: vec!["the schemas differ".to_owned()], ..Differences::default() }
    }
}

/// The parts of the difference that are written, by what they are called.
pub fn written(diff: &BundleDiff) -> [(&'static str, &Vec<Change>); 4] {
    [
        ("schema", &diff.schema),
        ("policies", &diff.policies),
        ("settings", &diff.settings),
        ("templates", &diff.templates),
    ]
}

/// What changes from one bundle to another.
pub fn diff(diff: &BundleDiff, proof: &Differences) -> Value {
    let decided = |verdict: &Verdict| {
        json!({
            "allow": verdict.allow, "reason": verdict.reason, "policies": verdict.determining,
            "obligations": verdict.obligations,
        })
    };
    let decisions = diff.decisions.iter().map(|change| {
        json!({
            "file": change.file, "line": change.line, "it": change.it,
            "old": decided(&change.old), "new": decided(&change.new),
        })
    });
    let witnesses = |found: &[(Witness, Verdict)]| -> Vec<Value> {
        found.iter().map(|(new, old)| json!({ "new": witness_json(new), "old": decided(old) })).collect()
    };
    let mut json = json!({
        "compared": diff.compared, "decisions": decisions.collect::<Vec<_>>(), "proven": proof.not_proven.is_empty(),
        "newly_allowed": witnesses(&proof.newly_allowed), "newly_denied": witnesses(&proof.newly_denied),
        "not_proven": proof.not_proven, "same": proof.same,
    });
    for (name, changes) in written(diff) {
        let changes = changes.iter().map(|change| match &change.changed {
            Changed::Added => json!({ "name": change.name, "changed": "added" }),
            Changed::Removed => json!({ "name": change.name, "changed": "removed" }),
            Changed::Otherwise(how) => json!({ "name": change.name, "changed": "otherwise", "how": how }),
        });
        json[name] = changes.collect();
    }
    json
}

/// Whether an invariant holds.
pub fn proof(proof: &Proof) -> Value {
    let Proof { id, doc, file, line, found } = proof;
    let mut json = json!({ "invariant": id, "doc": doc, "file": file, "line": line });
    let more = match found {
        Found::Proven(kinds) => json!({ "found": "proven", "kinds": kinds }),
        Found::Broken(witness) => json!({ "found": "broken", "witness": witness_json(witness) }),
        Found::BrokenByCase(file, line, it) => {
            json!({ "found": "broken", "case": { "file": file, "line": line, "it": it } })
        }
        Found::NotProven(left) => json!({ "found": "not_proven", "left": left }),
    };
    for (name, value) in more.as_object().into_iter().flatten() {
        json[name] = value.clone();
    }
    json
}

fn witness_json(witness: &Witness) -> Value {
    let Witness { principal, action, resource, context, entities, verdict, .. } = witness;
    json!({
        "principal": principal, "action": action, "resource": resource, "context": context, "entities": entities,
        "allow": verdict.allow, "reason": verdict.reason, "policies": verdict.determining,
    })
}
