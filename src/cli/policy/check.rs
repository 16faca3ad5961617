use portcullis_core::policy::{Bundle, Diagnostic, Severity};

use super::{Exit, Failure, Folder, Format, files, output, show};

/// Arguments of `portcullis policy check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Errors keep a gateway from loading the bundle; warnings do not.

Examples:
  portcullis policy check gw/policies
  portcullis policy check gw/policies --strict
  portcullis policy check gw/policies --format json

Exit codes: 0 good, 3 the bundle has errors, or warnings with --strict, 64 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    folder: Folder,

    /// For whom the output is
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let dir = &args.folder.dir;
    let files = files(dir)?;
    let (bundle, found) = match Bundle::check(files.clone()) {
        Ok((bundle, warnings)) => (Some(bundle), warnings),
        Err(wrong) => (None, wrong),
    };
    show(dir, &files, args.format, &found)?;
    let of = |severity| found.iter().filter(|diagnostic: &&Diagnostic| diagnostic.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    if args.format == Format::Text {
        match &bundle {
            Some(bundle) if warnings == 0 => {
                let policies = bundle.policy_ids().count();
                output::line(format_args!("{}: good, {policies} policies", dir.display()));
            }
            Some(_) => output::line(format_args!("{}: good, with {}", dir.display(), counted(warnings, "warning"))),
            None => output::line(format_args!("{}: not valid, {}", dir.display(), counted(errors, "error"))),
        }
    }
    if bundle.is_none() || (args.strict && warnings > 0) { Err(Failure::shown(Exit::InvalidFile)) } else { Ok(()) }
}

fn counted(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}
