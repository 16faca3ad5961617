//! Whether docs/conformance.md is true of the tests that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the modules of each test binary stand.
const BINARIES: [(&str, &str); 7] = [
    ("portcullis", "src"),
    ("portcullis::integration", "tests"),
    ("portcullis-core", "crates/core/src"),
    ("portcullis-core::wire", "crates/core/tests/wire"),
    ("portcullis-store", "crates/store/src"),
    ("portcullis-store::suite", "crates/store/tests/suite"),
    ("portcullis-tlog::suite", "crates/tlog/tests/suite"),
];

/// What a row may say, in the order of the columns of the counts.
const STATUSES: [&str; 3] = ["shown", "no test", "not built"];

/// A row of the page, without the row that heads its table.
struct Row {
    /// Heading of the part of the page.
    part: String,
    cells: Vec<String>,
}

impl Row {
    fn status(&self) -> &str {
        self.cells.iter().nth_back(1).map_or("", String::as_str)
    }

    /// What stands between backquotes in the last column and has the form of a test: a binary and a path.
    fn tests(&self) -> Vec<&str> {
        let quoted = self.cells.last().map_or("", String::as_str).split('`').skip(1).step_by(2);
        quoted.filter(|words| words.contains("::")).collect()
    }
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The rows of the tables below the headings of the second level; those in the head only count them.
fn rows() -> Vec<Row> {
    let page = page("conformance.md");
    let parts = page.split("\n## ").skip(1).map(|part| part.split_once('\n').unwrap());
    let rows = parts.flat_map(|(part, text)| {
        let lines: Vec<&str> = text.lines().collect();
        let is_row = |at: usize| lines[at].starts_with('|') && !lines[at].starts_with("|-");
        let heads = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|-"));
        let rows: Vec<usize> = (0..lines.len()).filter(|at| is_row(*at) && !heads(*at)).collect();
        rows.into_iter().map(|at| Row { part: part.to_owned(), cells: cells(lines[at]) }).collect::<Vec<_>>()
    });
    rows.collect()
}

/// The file of a module: its own, or that of the module in which it stands between braces.
fn file(root: &Path, module: &[&str]) -> Option<PathBuf> {
    let (last, above) = module.split_last()?;
    let folder = above.iter().fold(root.to_path_buf(), |folder, name| folder.join(name));
    let own = [folder.join(format!("{last}.rs")), folder.join(last).join("mod.rs")];
    own.into_iter().find(|path| path.is_file()).or_else(|| {
        let path = file(root, above)?;
        fs::read_to_string(&path).unwrap().lines().any(|line| line == format!("mod {last} {{")).then_some(path)
    })
}

/// Whether a source has a test of this name: a function with the attribute of one, or one that a macro makes.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let (twice, made) = (source.contains("\non_both! {"), source.contains("\nmacro_rules! "));
    lines.iter().enumerate().any(|(at, line)| {
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if function.and_then(|rest| rest.split('(').next()) != Some(name) {
            return made && line.split_once(':').is_some_and(|(it, _)| it == name);
        }
        let mut attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        (twice && line.ends_with("(db) {"))
            || attributes.any(|line| line.ends_with("test]") || line.starts_with("#[tokio::test("))
    })
}

fn exists(test: &str) -> bool {
    let Some((binary, path)) = test.split_once(' ') else { return false };
    let Some((_, root)) = BINARIES.iter().find(|(name, _)| *name == binary) else { return false };
    let path: Vec<&str> = path.split("::").collect();
    let Some((name, module)) = path.split_last() else { return false };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    file(&root, module).is_some_and(|path| has_test(&fs::read_to_string(path).unwrap(), name))
}

#[test]
fn every_row_names_tests_that_are_there_or_says_why_it_has_none() {
    let rows = rows();
    assert!(rows.len() > 300, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let (about, tests) = (row.cells.join(" | "), row.tests());
        let reason = row.cells.last().is_some_and(|cell| !cell.is_empty());
        if !STATUSES.contains(&row.status()) || tests.is_empty() == (row.status() == STATUSES[0]) || !reason {
            wrong.push(format!("is neither shown by a test nor marked: {about}"));
        }
        wrong.extend(tests.into_iter().filter(|test| !exists(test)).map(|test| format!("there is no test {test}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_test_that_is_not_there_is_not_found() {
    assert!(exists("portcullis::integration conformance::a_test_that_is_not_there_is_not_found"));
    for test in [
        "portcullis::integration conformance::a_test_that_nobody_wrote",
        "portcullis::integration conformance::exists",
        "portcullis::integration tidy::a_test_that_is_not_there_is_not_found",
        "portcullis::elsewhere conformance::a_test_that_is_not_there_is_not_found",
        "portcullis-core wire::uri::elsewhere::identifiers_of_the_draft_are_accepted",
        "conformance::a_test_that_is_not_there_is_not_found",
    ] {
        assert!(!exists(test), "{test}");
    }
}

#[test]
fn every_reading_has_its_row() {
    let listed = page("readings.md");
    let marks = listed.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let marks: BTreeSet<&str> = marks.flat_map(|(marks, _)| marks.split(", ")).filter(|it| it.contains('-')).collect();
    assert!(marks.len() > 80, "{marks:?}");
    let rows = rows();
    let of_readings = rows.iter().filter(|row| row.part == "Readings");
    let mut named: Vec<&str> = of_readings.map(|row| row.cells[0].as_str()).collect();
    let missing: Vec<&&str> = marks.iter().filter(|mark| !named.contains(mark)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    named.sort_unstable();
    let all = named.len();
    named.dedup();
    assert_eq!(named.len(), all, "a mark has two rows");
}

#[test]
fn the_counts_in_the_head_are_those_of_the_rows() {
    let mut counts: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    for row in rows() {
        let column = 1 + STATUSES.iter().position(|status| *status == row.status()).unwrap();
        for of in [row.part.to_lowercase(), "all".to_owned()] {
            let counted = counts.entry(of).or_default();
            counted[0] += 1;
            counted[column] += 1;
        }
    }
    let page = page("conformance.md");
    let head = page.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with('|')).skip(2).map(cells);
    let written: BTreeMap<String, [usize; 4]> = head
        .map(|cells| (cells[0].clone(), std::array::from_fn(|column| cells[1 + column].parse().unwrap())))
        .collect();
    assert_eq!(written, counts);
}
