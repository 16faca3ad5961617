//! The demo: three providers as child processes on loopback, real MLS clients, and the example flow of
//! draft-ietf-mimi-protocol with refusals in between. Each step is compared with what it should be, by the hub's log.
//!
//! Whatever is done to a gateway here is done through its doors, as a client, or by a command of this program, as an
//! operator.

mod commands;
mod forge;
mod lab;
mod report;
mod script;
mod stage;

pub use report::{Form, Total};

use std::path::Path;

use anyhow::Context as _;
use commands::Program;
use lab::Lab;
use report::Report;
use stage::Stage;

/// Plays the demo, in `dir` or in a temporary folder, and gives the lines it has to show to `print` as they come.
///
/// # Errors
///
/// When the gateways cannot be set up or started, or the play cannot go on. What went on and differed from what it
/// should be is in the [`Total`].
pub fn run(dir: Option<&Path>, form: Form, print: &mut dyn FnMut(&str)) -> anyhow::Result<Total> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(play(dir, Report::new(form, print)))
}

async fn play(dir: Option<&Path>, mut report: Report<'_>) -> anyhow::Result<Total> {
    let lab = Lab::open(Program::this()?, dir, &report).await?;
    for gateway in lab.gateways() {
        report.gateway(gateway);
    }
    report.header();
    let mut stage = Stage::new(&lab, &mut report)?;
    script::play(&mut stage).await?;
    lab.close(report).await
}
