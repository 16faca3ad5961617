use std::path::Path;

use anyhow::Context as _;
use portcullis_core::policy::format;

use super::{Exit, Failure, Folder, diagnostics, files, output};

/// Arguments of `portcullis policy fmt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Comments and the order of policies stay. If one file cannot be read, none is changed.

Examples:
  portcullis policy fmt gw/policies
  portcullis policy fmt gw/policies --check

Exit codes: 0 good, 2 with --check: a file would change, 3 a file cannot be read, 64 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    folder: Folder,

    /// Change nothing, and say which files would change
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let dir = &args.folder.dir;
    let files = files(dir)?;
    let (mut changed, mut wrong) = (Vec::new(), Vec::new());
    for (file, content) in files.iter().filter(|(file, _)| file.ends_with(".cedar")) {
        let Ok(text) = std::str::from_utf8(content) else {
            return Err(Failure::invalid([miette::Report::msg(format!("`{file}` is not UTF-8"))]));
        };
        match format(file, text) {
            Ok(formatted) if formatted != text => changed.push((file, formatted)),
            Ok(_) => {}
            Err(found) => wrong.extend(found),
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::invalid(diagnostics::reports(dir, &files, wrong)));
    }
    for (file, formatted) in &changed {
        output::line(file);
        if !args.check {
            write(&dir.join(file), formatted)?;
        }
    }
    if args.check && !changed.is_empty() { Err(Failure::shown(Exit::Failed)) } else { Ok(()) }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}
