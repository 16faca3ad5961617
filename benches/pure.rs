//! Benchmarks of the pure stages. Prints medians over rounds in which what is compared takes turns.
//!
//! `cargo bench -p portcullis-core --bench pure` runs all of them, `-- decision`, `-- commit` or `-- bundle` those of that name.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and has failed when it panics")]

mod bundle;
mod commit;
mod crowd;
mod decision;
mod store;

use std::collections::BTreeMap;
use std::path::Path;

/// How often what is compared takes turns.
const ROUNDS: usize = 7;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The files of the shipped bundle that decide.
fn policies() -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut files = BTreeMap::from([("settings.yaml".to_owned(), std::fs::read(root.join("settings.yaml")).unwrap())]);
    for folder in ["schema", "platform", "ceiling"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().display());
            files.insert(name, std::fs::read(path).unwrap());
        }
    }
    files
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    if runs("decision") {
        decision::run();
    }
    if runs("commit") {
        commit::run();
    }
    if runs("bundle") {
        bundle::run();
    }
}
