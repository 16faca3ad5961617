//! Lists the shipped policy bundle, so that the binary carries it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Folder of the bundle, and what of it is never loaded.
const BUNDLE: &str = "policies";
const EXAMPLES: &str = "examples";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={BUNDLE}");
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join(BUNDLE);
    let mut files = Vec::new();
    if root.is_dir() {
        list(&root, &mut files)?;
    }
    files.sort();
    let mut text = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root)?.to_str().ok_or("a file name is not UTF-8")?.replace('\\', "/");
        // No absolute path: checkouts may share a target directory.
        writeln!(
            text,
            r#"    ({name:?}, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/{BUNDLE}/{name}")) as &[u8]),"#
        )?;
    }
    text.push_str("]\n");
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("bundle.rs"), text)?;
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != EXAMPLES) {
                list(&path, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}
