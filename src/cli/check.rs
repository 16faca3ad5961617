use std::path::{Path, PathBuf};

use anyhow::Context;
use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report, SourceOffset};
use portcullis_core::policy::Diagnostic;

use super::{Failure, output};
use crate::config::Config;
use crate::gateway::{HubKeys, Policy, PolicyError};
use crate::peer::Peers;

/// Arguments of `portcullis check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  portcullis check --config gw/gateway.yaml")]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = everything(&args.config)?;
    let names: Vec<&str> = config.domains.iter().map(|domain| domain.as_str()).collect();
    output::line(format!("{}: good, for {}", args.config.display(), names.join(", ")));
    Ok(())
}

/// Reads the configuration, its keys and its policies; says everything that is wrong with them.
pub(super) fn everything(path: &Path) -> Result<Config, Failure> {
    let config = Config::load(path)?;
    Policy::open(&config.policies).map_err(|error| Failure::invalid(policy_reports(error)))?;
    let keys = HubKeys::read(&config.keys.hub, &config.keys.franking).map_err(anyhow::Error::from);
    let peers = Peers::new(&config).context("keys or peers cannot be used");
    let faults: Vec<Report> =
        [keys.err(), peers.err()].into_iter().flatten().map(|error| Report::msg(format!("{error:#}"))).collect();
    if faults.is_empty() { Ok(config) } else { Err(Failure::invalid(faults)) }
}

fn policy_reports(error: PolicyError) -> Vec<Report> {
    let PolicyError::Invalid { path, files, diagnostics } = error else {
        return vec![Report::msg(format!("{:#}", anyhow::Error::from(error)))];
    };
    diagnostics
        .into_iter()
        .map(|diagnostic| {
            let text = files.get(&diagnostic.file).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            report(&path.join(&diagnostic.file), text.unwrap_or_default(), diagnostic)
        })
        .collect()
}

fn report(path: &Path, text: String, diagnostic: Diagnostic) -> Report {
    let mut shown = MietteDiagnostic::new(diagnostic.message);
    shown.help = diagnostic.help;
    let offset = SourceOffset::from_location(&text, diagnostic.line, diagnostic.column).offset();
    shown = shown.with_label(LabeledSpan::at_offset(offset, "here"));
    Report::new(shown).with_source_code(NamedSource::new(path.display().to_string(), text))
}
