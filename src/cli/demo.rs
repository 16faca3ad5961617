use std::io::{ErrorKind, IsTerminal as _};
use std::path::PathBuf;

use super::{Failure, output};
use crate::demo::{self, Form};

/// Arguments of `portcullis demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis demo                 in a temporary folder that is removed afterwards
  portcullis demo --dir lab       keeps databases, certificates, bundles and logs in `lab`
  portcullis demo --json          one JSON object a step")]
pub(super) struct Args {
    /// Keep everything in this folder, which must be empty or new.
    #[arg(long, value_name = "DIR", value_parser = empty_or_new)]
    dir: Option<PathBuf>,
    /// Print one JSON object a step.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let total = demo::run(args.dir.as_deref(), form(args), &mut |line| output::line(line))?;
    match total.differences.len() {
        0 => Ok(()),
        count => Err(Failure::failed(format!("{count} differences from what should be"))),
    }
}

fn empty_or_new(text: &str) -> Result<PathBuf, String> {
    match std::fs::read_dir(text).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err("the folder is not empty; name another one".to_owned()),
        Ok(false) => Ok(text.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(text.into()),
        Err(error) => Err(format!("the folder cannot be read: {error}")),
    }
}

fn form(args: &Args) -> Form {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match (args.json, colours) {
        (true, _) => Form::Json,
        (false, true) => Form::Coloured,
        (false, false) => Form::Plain,
    }
}
