//! What the compiler does not check about the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the root package from the lowest to the highest: each may use only what stands before it.
const LAYERS: [&[&str]; 12] = [
    &["config"],
    &["limits", "telemetry"],
    &["peer"],
    &["outside"],
    &["addresses", "assets"],
    &["gateway"],
    &["http"],
    &["audit", "delivery", "upkeep"],
    &["admin", "federation", "provider", "scim"],
    &["member", "server"],
    &["demo"],
    &["cli"],
];

/// Longest source file, in lines: above it a file is rarely one idea.
const LONGEST_FILE: usize = 500;

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let crates = [
        "crates/core/src",
        "crates/prove/src",
        "crates/store/src",
        "crates/store/tests",
        "crates/tlog/src",
        "crates/tlog/tests",
    ];
    for folder in ["src", "tests", "fuzz/src"].into_iter().chain(crates) {
        walk(&root.join(folder), &mut found);
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn dependencies_of_the_root_package_point_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut arrows_back = Vec::new();
    for path in sources() {
        let Ok(inside) = path.strip_prefix(&src) else { continue };
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let own = layer(module).unwrap_or_else(|| panic!("`{module}` stands in no layer"));
        let text = fs::read_to_string(&path).unwrap();
        for used in text.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if used != module && layer(&used).is_some_and(|used| used >= own) {
                arrows_back.push(format!("{}: crate::{used}", inside.display()));
            }
        }
    }
    assert!(arrows_back.is_empty(), "{arrows_back:#?}");
}

#[test]
fn the_pure_stages_have_no_crate_that_could_reach_outside() {
    for outside in ["actix", "diesel", "reqwest", "tokio", "portcullis-store", "rustls"] {
        assert!(!dependencies("core").contains(outside), "`{outside}` is in the manifest of the pure stages");
    }
}

#[test]
fn the_crate_of_the_merkle_log_knows_nothing_of_ours_and_reaches_nothing() {
    let dependencies = dependencies("tlog");
    let names: Vec<_> = dependencies.lines().filter_map(|line| line.split_once('.')).map(|(name, _)| name).collect();
    assert_eq!(names, ["aws-lc-rs", "base64", "thiserror"]);
}

/// What the manifest of a crate of ours says it depends on, tests aside.
fn dependencies(of: &str) -> String {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(of).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap().to_owned()
}

#[test]
fn no_source_file_is_longer_than_one_idea() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > LONGEST_FILE).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |database: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("postgres"));
    // What stands before the first `_` is the version: of two with the same one only one would run.
    let names = names("sqlite");
    let versions: BTreeSet<_> = names.iter().map(|name| name.to_str().unwrap().split('_').next()).collect();
    assert_eq!(versions.len(), names.len());
    assert!(!names.is_empty());
}

#[test]
fn every_code_is_documented() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/codes.md")).unwrap();
    let codes = portcullis::provider::CODES.iter().chain(portcullis::admin::CODES);
    let codes = codes.map(|(code, ..)| (*code).to_owned());
    let breaches = portcullis_core::room::Breach::ALL.iter().map(|breach| breach.code().to_owned());
    let checks = portcullis_core::mls::CheckId::ALL.iter().map(|check| format!("mls.{}", check.name()));
    let missing: Vec<String> =
        codes.chain(breaches).chain(checks).filter(|code| !page.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What stands in quotes on the lines of a text that do not have any of `but`.
fn quoted<'t>(text: &'t str, but: &'t [&str]) -> impl Iterator<Item = &'t str> {
    let lines = text.lines().filter(|line| !but.iter().any(|word| line.contains(word)));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2))
}

#[test]
fn every_reason_and_every_kind_of_record_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/codes.md")).unwrap();
    let mut names = BTreeSet::new();
    let layers = ["platform", "ceiling"].map(|layer| fs::read_dir(root.join("policies").join(layer)).unwrap());
    for policies in layers.into_iter().flatten() {
        let text = fs::read_to_string(policies.unwrap().path()).unwrap();
        names.extend(
            text.lines().filter_map(|line| Some(line.strip_prefix("@reason(\"")?.strip_suffix("\")")?.to_owned())),
        );
    }
    let engine = root.join("crates/core/src/policy");
    for path in sources().iter().filter(|path| path.starts_with(&engine)) {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let is_reason = |word: &&str| word.len() > 5 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        names.extend(quoted(code, &["env!"]).filter(is_reason).map(str::to_owned));
    }
    let families = [
        "access.",
        "arrival.",
        "audit.",
        "decision.",
        "delivery.",
        "directory.",
        "follower.",
        "key.",
        "letters.",
        "moderation.",
        "outbox.",
        "policy.",
        "report.",
        "user.",
        "writer.",
    ];
    for path in sources().iter().filter(|path| path.iter().any(|part| part == "src")) {
        let text = fs::read_to_string(path).unwrap();
        let kinds = quoted(&text, &["span!", "failpoint", "attribute("]).filter(|word| {
            families.iter().any(|family| {
                let rest = word.strip_prefix(family).unwrap_or_default();
                !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
            })
        });
        names.extend(kinds.map(str::to_owned));
    }
    names.extend(portcullis_core::franking::Flaw::ALL.map(|flaw| flaw.code().to_owned()));
    assert!(names.len() > 40, "{names:#?}");
    let missing: Vec<&String> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_reading_that_is_cited_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/readings.md")).unwrap();
    let mut unlisted: Vec<String> = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '-'));
        let is_mark = |word: &&str| {
            word.split_once('-').is_some_and(|(letter, number)| {
                ["D", "P", "C"].contains(&letter)
                    && (1..=2).contains(&number.len())
                    && number.bytes().all(|b| b.is_ascii_digit())
            })
        };
        unlisted.extend(
            words
                .filter(is_mark)
                .filter(|mark| !page.contains(&format!("{mark} |")) && !page.contains(&format!("{mark},")))
                .map(str::to_owned),
        );
    }
    unlisted.sort();
    unlisted.dedup();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
}

/// What stands between backquotes in the first column of the tables below a heading.
fn first_column(page: &str, heading: &str) -> BTreeSet<String> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let names = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_instrument_is_documented_and_every_documented_one_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/telemetry.md")).unwrap();
    let known: BTreeSet<String> =
        portcullis::telemetry::metrics::INSTRUMENTS.iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(first_column(&page, "Metrics"), known);
    let makers = ["_counter(", "_histogram(", "_gauge("];
    let elsewhere: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| path.starts_with(root.join("src")) && !path.starts_with(root.join("src/telemetry")))
        .filter(|path| makers.iter().any(|maker| fs::read_to_string(path).unwrap().contains(maker)))
        .collect();
    assert!(elsewhere.is_empty(), "instruments are made in src/telemetry only: {elsewhere:?}");
}

#[test]
fn every_span_is_documented_and_every_documented_one_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/telemetry.md")).unwrap();
    let mut made = BTreeSet::new();
    for path in sources().iter().filter(|path| path.iter().any(|part| part == "src")) {
        let text = fs::read_to_string(path).unwrap();
        let spans = text.split("_span!(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
        made.extend(spans.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    assert_eq!(first_column(&page, "Spans"), made);
}
