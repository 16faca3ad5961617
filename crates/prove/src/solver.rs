use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cedar_policy_symcc::err::Error;
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env};
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};

/// The solver of this machine, if there is one.
pub struct Solver {
    program: PathBuf,
    limit: Duration,
    /// When it is asked no longer.
    ends: Option<Instant>,
    runtime: Runtime,
    running: Option<CedarSymCompiler<LocalSolver>>,
}

/// Why something is not proven.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproven {
    /// There is no solver.
    #[error("`{0}` cannot be started: is cvc5 installed?")]
    NoSolver(String),
    /// It did not find out in time.
    #[error("the solver did not find out within {0:?}")]
    Unknown(Duration),
    /// The time for all queries is over.
    #[error("the time for all questions was over")]
    TooLate,
    /// The policies, or what the solver said, cannot be taken.
    #[error("{0}")]
    Failed(String),
}

impl Solver {
    /// The program of that name or path, which must be cvc5, with so much time for each query.
    ///
    /// # Errors
    ///
    /// When this process can have no runtime. Whether the program is there shows when it is asked.
    pub fn new(program: impl Into<PathBuf>, limit: Duration) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { program: program.into(), limit, ends: None, runtime, running: None })
    }

    /// Asked no longer after so much time from now: what is left then is not proven.
    #[must_use]
    pub fn ending_after(self, all: Duration) -> Self {
        Self { ends: Instant::now().checked_add(all), ..self }
    }

    /// Something that the first allow and the second do not.
    pub(crate) fn not_implied(
        &mut self,
        first: &CompiledPolicySet,
        second: &CompiledPolicySet,
    ) -> Result<Option<Env>, Unproven> {
        self.ask(async |compiler| compiler.check_implies_with_counterexample_opt(first, second).await)
    }

    /// Something that both allow.
    pub(crate) fn shared(
        &mut self,
        first: &CompiledPolicySet,
        second: &CompiledPolicySet,
    ) -> Result<Option<Env>, Unproven> {
        self.ask(async |compiler| compiler.check_disjoint_with_counterexample_opt(first, second).await)
    }

    /// Whether a policy never fails.
    pub(crate) fn never_fails(&mut self, policy: &CompiledPolicy) -> Result<bool, Unproven> {
        self.ask(async |compiler| compiler.check_never_errors_opt(policy).await)
    }

    /// Whether there is time left: what is compiled for a query takes some, too.
    pub(crate) fn in_time(&self) -> Result<(), Unproven> {
        if self.ends.is_some_and(|ends| ends <= Instant::now()) { Err(Unproven::TooLate) } else { Ok(()) }
    }

    fn ask<T>(
        &mut self,
        query: impl AsyncFnOnce(&mut CedarSymCompiler<LocalSolver>) -> Result<T, Error>,
    ) -> Result<T, Unproven> {
        self.in_time()?;
        let _entered = self.runtime.enter();
        let mut compiler = match self.running.take() {
            Some(compiler) => compiler,
            None => self.start()?,
        };
        // The solver's own limit ends a query; one that does not keep to it ends with the process.
        let patience = self.limit * 2 + Duration::from_secs(1);
        let answer = self.runtime.block_on(async { tokio::time::timeout(patience, query(&mut compiler)).await });
        match answer {
            Ok(Ok(answer)) => {
                self.running = Some(compiler);
                Ok(answer)
            }
            Ok(Err(Error::SolverUnknown)) | Err(_) => Err(Unproven::Unknown(self.limit)),
            Ok(Err(error)) => Err(failed(&error)),
        }
    }

    fn start(&self) -> Result<CedarSymCompiler<LocalSolver>, Unproven> {
        let mut command = Command::new(&self.program);
        command.args(["--lang", "smt", &format!("--tlimit-per={}", self.limit.as_millis())]);
        command.stderr(Stdio::null()).kill_on_drop(true);
        let solver = LocalSolver::from_command(&mut command)
            .map_err(|_| Unproven::NoSolver(self.program.display().to_string()))?;
        CedarSymCompiler::new(solver).map_err(|error| failed(&error))
    }
}

/// An error in one line.
pub(crate) fn failed(error: &Error) -> Unproven {
    let text = match error {
        Error::PolicyNotWellTyped { errs } => {
            let first = errs.first().map(ToString::to_string).unwrap_or_default();
            format!("{error}: {first}")
        }
        error => error.to_string(),
    };
    Unproven::Failed(text)
}
