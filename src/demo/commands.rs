//! Commands of this program, run as an operator would run them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use data_encoding::HEXLOWER;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::member::Sent;

/// When a condition is looked at again.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// When it is given up: only something broken takes so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// This program's own file.
#[derive(Clone, Debug)]
pub(super) struct Program(PathBuf);

/// The commands of one gateway, by its configuration.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    program: Program,
    config: PathBuf,
}

/// An entry of an audit log, as `portcullis audit list --json` prints it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Entry {
    /// Position in the log.
    pub(super) seq: u64,
    pub(super) kind: String,
    /// `allow`, `deny`, `error` or `info`.
    pub(super) outcome: String,
    pub(super) decision: Option<Uuid>,
    /// Identifiers of the deciding policies.
    pub(super) policy: Vec<String>,
    pub(super) reason: String,
}

/// A lane of an outbox, as `portcullis outbox lanes --json` prints it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LaneState {
    pub(super) peer: String,
    /// `open` or `parked`.
    pub(super) state: String,
    /// Messages that are not delivered yet.
    pub(super) owed: u64,
}

impl Program {
    pub(super) fn this() -> anyhow::Result<Self> {
        Ok(Self(std::env::current_exe().context("cannot find this program's own file")?))
    }

    /// Runs a command to its end and gives its standard output.
    pub(super) async fn run(&self, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<String> {
        let command = || arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect::<Vec<_>>();
        let running = self.command(arguments).stdin(Stdio::null()).output();
        let output = timeout(PATIENCE, running)
            .await
            .with_context(|| format!("`portcullis {}` does not end", command().join(" ")))?
            .context("cannot run this program")?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("`portcullis {}` failed ({}): {}", command().join(" "), output.status, error.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a gateway; its output goes to `log`. It is killed when the handle is dropped.
    pub(super) fn serve(&self, config: &Path, log: std::fs::File) -> anyhow::Result<Child> {
        let mut command = self.command(&[OsStr::new("serve"), OsStr::new("--config"), config.as_os_str()]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().context("cannot run this program")
    }

    fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments).kill_on_drop(true);
        command
    }
}

impl Operator {
    pub(super) fn new(program: Program, config: PathBuf) -> Self {
        Self { program, config }
    }

    pub(super) async fn token(&self, user: &UserUri) -> anyhow::Result<String> {
        Ok(self.run(&["token", "--user", user.as_str()]).await?.trim().to_owned())
    }

    /// Mutes or unmutes (`verb`) a user in a room and gives the entry that says so.
    pub(super) async fn moderate(&self, verb: &str, room: &RoomUri, user: &UserUri) -> anyhow::Result<Entry> {
        let reason = "part of the demo";
        self.run(&["room", verb, room.as_str(), user.as_str(), "--reason", reason]).await?;
        self.entry(&["--kind", &format!("moderation.{verb}")], |_| true).await
    }

    /// The entry with which this gateway has decided what a device sent. It gets its position shortly after the
    /// answer.
    pub(super) async fn decision(&self, sent: &Sent) -> anyhow::Result<Entry> {
        let filter = match (sent.exchange, sent.decision) {
            (Some(exchange), _) => ["--exchange".to_owned(), HEXLOWER.encode(&exchange)],
            (None, Some(decision)) => ["--decision".to_owned(), decision.to_string()],
            (None, None) => bail!("nothing tells which decision this was"),
        };
        self.entry(&filter, |entry| entry.kind.starts_with("decision.")).await
    }

    /// The entry with which this gateway, a device's own, has decided what the device sent.
    pub(super) async fn own_decision(&self, decision: uuid::Uuid) -> anyhow::Result<Entry> {
        self.entry(&["--decision".to_owned(), decision.to_string()], |_| true).await
    }

    /// How many entries the log has.
    pub(super) async fn entries(&self) -> anyhow::Result<u64> {
        let mut size = 0;
        loop {
            let from = size.to_string();
            match self.json::<Entry>(&["audit", "list", "--json", "--from", &from]).await?.last() {
                Some(last) => size = last.seq + 1,
                None => return Ok(size),
            }
        }
    }

    /// Waits until everything is delivered that this gateway owes others, or a lane is parked; gives the lanes.
    pub(super) async fn settled_lanes(&self) -> anyhow::Result<Vec<LaneState>> {
        let settled = async {
            loop {
                let lanes: Vec<LaneState> = self.json(&["outbox", "lanes", "--json"]).await?;
                if lanes.iter().all(|lane| lane.owed == 0 || lane.state == "parked") {
                    return Ok(lanes);
                }
                sleep(POLL).await;
            }
        };
        timeout(PATIENCE, settled).await.context("the outbox does not become empty")?
    }

    async fn entry(&self, filter: &[impl AsRef<str>], which: impl Fn(&Entry) -> bool) -> anyhow::Result<Entry> {
        let mut arguments = vec!["audit", "list", "--json"];
        arguments.extend(filter.iter().map(AsRef::as_ref));
        let found = async {
            loop {
                let entries: Vec<Entry> = self.json(&arguments).await?;
                if let Some(entry) = entries.into_iter().find(|entry| which(entry)) {
                    return Ok(entry);
                }
                sleep(POLL).await;
            }
        };
        timeout(PATIENCE, found).await.with_context(|| format!("no entry in the log: `{}`", arguments.join(" ")))?
    }

    async fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> anyhow::Result<Vec<T>> {
        let lines = self.run(arguments).await?;
        lines.lines().map(|line| serde_json::from_str(line).with_context(|| format!("cannot read `{line}`"))).collect()
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let config = self.config.to_string_lossy();
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--config", &config]).collect();
        self.program.run(&arguments).await
    }
}
