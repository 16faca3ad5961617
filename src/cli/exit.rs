use std::io::Write as _;
use std::process::ExitCode;

use miette::Report;

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Good = 0,
    /// A fault of our own or of the machine.
    Internal = 1,
    /// A deny, or something that was checked and failed.
    Failed = 2,
    /// A file that is not valid.
    InvalidFile = 3,
    /// Wrong arguments.
    Usage = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not end well: what the user reads, and the exit code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    reports: Vec<Report>,
}

impl Failure {
    /// One or more files are not valid; everything that is wrong is said at once.
    pub fn invalid(reports: impl IntoIterator<Item = Report>) -> Self {
        Self { exit: Exit::InvalidFile, reports: reports.into_iter().collect() }
    }

    /// Something was checked and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, reports: vec![Report::msg(message.into())] }
    }

    /// Something was checked and failed; what is wrong has been printed already.
    pub fn shown(exit: Exit) -> Self {
        Self { exit, reports: Vec::new() }
    }

    /// The arguments do not fit together.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, reports: vec![Report::msg(message.into())] }
    }

    /// Prints the reports to standard error, whether or not anybody reads there, and gives the exit code.
    pub fn report(self) -> ExitCode {
        for report in &self.reports {
            let _ = writeln!(std::io::stderr(), "{report:?}");
        }
        self.exit.into()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Internal, reports: vec![Report::msg(chain(&error))] }
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::invalid([Report::new(error)])
    }
}

fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
