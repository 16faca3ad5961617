use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use miette::Report;
use portcullis_core::policy::format;

use super::{Exit, Failure, Folder, diagnostics, files, output};

/// Arguments of `portcullis policy fmt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Comments and the order of policies stay. If one file cannot be read, or is reached by a link, none is changed.

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
            return Err(Failure::invalid([Report::msg(format!("`{file}` is not UTF-8"))]));
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
    let links: Vec<Report> = changed
        .iter()
        .filter(|_| !args.check)
        .filter_map(|(file, _)| link(dir, file))
        .map(|link| Report::msg(format!("`{}` is a link: format what it leads to where that stands", link.display())))
        .collect();
    if !links.is_empty() {
        return Err(Failure::invalid(links));
    }
    for (file, formatted) in &changed {
        output::line(file);
        if !args.check {
            write(&dir.join(file), formatted)?;
        }
    }
    if args.check && !changed.is_empty() { Err(Failure::shown(Exit::Failed)) } else { Ok(()) }
}

/// Whoever reads the file meanwhile, as a gateway that is told to, sees the one or the other and nothing in between.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write `{}`", path.display());
    let mut new = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path)).with_context(failed)?;
    new.write_all(text.as_bytes()).with_context(failed)?;
    let (old, made) = (std::fs::metadata(path).with_context(failed)?, new.as_file().metadata().with_context(failed)?);
    if (old.uid(), old.gid()) != (made.uid(), made.gid()) {
        // The gateway may read by its own name only.
        fchown(new.as_file(), Some(old.uid()), Some(old.gid())).with_context(failed)?;
    }
    new.as_file().set_permissions(old.permissions()).with_context(failed)?;
    new.persist(path).with_context(failed)?;
    Ok(())
}

/// The first part of a path below the folder that is a link: what it leads to may be another's.
fn link(dir: &Path, file: &str) -> Option<PathBuf> {
    let mut path = dir.to_owned();
    file.split('/').find_map(|part| {
        path.push(part);
        path.is_symlink().then(|| path.clone())
    })
}
