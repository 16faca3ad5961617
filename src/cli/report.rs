use clap::{Subcommand, ValueEnum};
use portcullis_core::franking;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::reports::{self as stored, Report, ReportState, ReportedMessage, Wanted};
use portcullis_store::{Store, StoreError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::host::{Host, change, operator};
use super::{Failure, output};
use crate::gateway::admin::worded;
use crate::gateway::reports::{self, Handling, Reported, name};
use crate::gateway::verdict_code;

/// Reports read at once.
const PAGE: u32 = 500;

/// Arguments of `portcullis report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A report is reviewed before it is decided. What it says stands sealed; who reads it is on the record.

Examples:
  portcullis report list --state new
  portcullis report show 019aa9d1-6d2b-7c30-9a54-0f3c1b2d4e5f
  portcullis report show 019aa9d1-6d2b-7c30-9a54-0f3c1b2d4e5f --content --reason 'CASE-7: judging it'
  portcullis report decide 019aa9d1-6d2b-7c30-9a54-0f3c1b2d4e5f in-review --case CASE-7 --reason 'taken on'
  portcullis report decide 019aa9d1-6d2b-7c30-9a54-0f3c1b2d4e5f upheld --reason 'insults, seen in the room'")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List reports in the order in which they came.
    List {
        /// Only reports in this state.
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Only reports about this room.
        #[arg(long)]
        room: Option<RoomUri>,
        /// Only reports about this user.
        #[arg(long)]
        alleged: Option<UserUri>,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show a report with what its messages prove.
    Show {
        /// The report.
        report: Uuid,
        /// Show what was reported, too, in plain text.
        #[arg(long, requires = "reason")]
        content: bool,
        /// Why what was reported is read; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: Option<String>,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Say what you make of a report.
    Decide {
        /// The report.
        report: Uuid,
        /// The state it comes into.
        #[arg(value_enum)]
        state: Decided,
        /// Number of the case; what stands there stays when not given.
        #[arg(long, value_parser = worded)]
        case: Option<String>,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
        /// Refuse when somebody else has changed it since you saw it in this version.
        #[arg(long, value_name = "VERSION")]
        seen: Option<u64>,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    New,
    InReview,
    Upheld,
    Dismissed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Decided {
    InReview,
    Upheld,
    Dismissed,
}

impl From<State> for ReportState {
    fn from(state: State) -> Self {
        match state {
            State::New => Self::New,
            State::InReview => Self::InReview,
            State::Upheld => Self::Upheld,
            State::Dismissed => Self::Dismissed,
        }
    }
}

impl From<Decided> for ReportState {
    fn from(state: Decided) -> Self {
        match state {
            Decided::InReview => Self::InReview,
            Decided::Upheld => Self::Upheld,
            Decided::Dismissed => Self::Dismissed,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let store = args.host.open()?;
    match &args.command {
        Command::List { state, room, alleged, json } => {
            let wanted = Wanted {
                after: None,
                state: state.map(ReportState::from),
                room: room.clone(),
                alleged: alleged.clone(),
            };
            list(&store, wanted, *json)
        }
        Command::Show { report, content: false, json, .. } => {
            let found = store.read(|conn| reports::whole(conn, *report)).map_err(anyhow::Error::from)?;
            let (found, messages) = found.ok_or_else(|| Failure::failed(missing(*report)))?;
            show(&found, &messages, None, *json)
        }
        Command::Show { report, content: true, reason, json } => {
            let sealer = args.host.sealer()?;
            let (id, by, why) = (*report, operator(), reason.clone().unwrap_or_default());
            let read = move |tx: &mut portcullis_store::Tx<'_>, now| reports::read(tx, id, &by, &why, now);
            let (found, messages) = change(&store, "admin", &missing(id), read)?;
            let reported = reports::unseal(&sealer, &found, &messages).map_err(anyhow::Error::from)?;
            show(&found, &messages, Some(&reported), *json)
        }
        Command::Decide { report, state, case, reason, seen, json } => {
            let id = *report;
            let found = store.read(|conn| stored::find(conn, id)).map_err(anyhow::Error::from)?;
            let found = found.ok_or_else(|| Failure::failed(missing(id)))?;
            let version = seen.unwrap_or(found.version);
            let state = ReportState::from(*state);
            let handling = Handling { report: id, state, version, case: case.clone(), why: reason.clone() };
            let refused = format!(
                "report {id} is {}, in version {}: it cannot become {}",
                name(found.state),
                found.version,
                name(state)
            );
            let by = operator();
            let now = change(&store, "admin", &refused, move |tx, now| reports::handle(tx, &handling, &by, now))?;
            if *json {
                return Ok(output::json(&shown(&now))?);
            }
            output::line(format!("report {id} is {}", name(now.state)));
            Ok(())
        }
    }
}

fn missing(report: Uuid) -> String {
    format!("there is no report {report}")
}

fn list(store: &Store, mut wanted: Wanted, json: bool) -> Result<(), Failure> {
    let mut all: Vec<Report> = Vec::new();
    loop {
        let page = store
            .read(|conn| stored::page(conn, &wanted, PAGE))
            .map_err(|error: StoreError| anyhow::Error::from(error))?;
        let last = page.len() < PAGE as usize;
        wanted.after = page.last().map(|report| (report.received_at, report.id));
        all.extend(page);
        if last {
            break;
        }
    }
    if json {
        for report in &all {
            output::json(&shown(report))?;
        }
    } else {
        let rows = all.iter().map(|report| {
            [
                report.id.to_string(),
                name(report.state).to_owned(),
                report.room.to_string(),
                report.alleged.to_string(),
                format!("{} of {}", report.proven, report.messages),
            ]
        });
        output::table(["report", "state", "room", "about", "proven"], rows);
    }
    Ok(())
}

fn show(report: &Report, messages: &[ReportedMessage], reported: Option<&Reported>, json: bool) -> Result<(), Failure> {
    if json {
        let verdicts: Vec<Value> = messages
            .iter()
            .map(|message| {
                json!({
                    "position": message.position,
                    "verdict": verdict_code(&message.verdict),
                    "accepted_at": message.accepted_at,
                })
            })
            .collect();
        let mut whole = shown(report);
        if let Value::Object(members) = &mut whole {
            members.insert("verdicts".to_owned(), json!(verdicts));
            if let Some(reported) = reported {
                let texts: Vec<Value> =
                    texts(reported).map(|(position, text)| json!({ "position": position, "text": text })).collect();
                let note = String::from_utf8_lossy(&reported.note).into_owned();
                members.insert("content".to_owned(), json!({ "note": note, "messages": texts }));
            }
        }
        return Ok(output::json(&whole)?);
    }
    let reporter = if report.reporter.is_provider() {
        format!("somebody of {}", report.reporter.domain())
    } else {
        report.reporter.to_string()
    };
    let mut rows = vec![
        ["state".to_owned(), format!("{}, version {}", name(report.state), report.version)],
        ["room".to_owned(), report.room.to_string()],
        ["about".to_owned(), report.alleged.to_string()],
        ["by".to_owned(), reporter],
        ["repeated".to_owned(), report.repeats.to_string()],
    ];
    if let Some(handled) = &report.handled {
        rows.push(["handled".to_owned(), format!("{}: {} {}", handled.by, handled.case, handled.why)]);
    }
    let verdict = |message: &ReportedMessage| {
        [format!("message {}", message.position), verdict_code(&message.verdict).to_owned()]
    };
    rows.extend(messages.iter().map(verdict));
    if let Some(reported) = reported {
        rows.push(["note".to_owned(), harmless(&String::from_utf8_lossy(&reported.note))]);
        let text = |(position, text): (u64, Option<String>)| {
            [format!("text {position}"), harmless(text.as_deref().unwrap_or_default())]
        };
        rows.extend(texts(reported).map(text));
    }
    output::table(["report", &report.id.to_string()], rows);
    Ok(())
}

/// What somebody else has written, without what would steer the terminal.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() && char != '\n' { char::REPLACEMENT_CHARACTER } else { char })
        .collect()
}

/// The messages that are text, by their positions.
fn texts(reported: &Reported) -> impl Iterator<Item = (u64, Option<String>)> + '_ {
    reported.messages.iter().map(|(position, message)| {
        let content = franking::read(&message.content);
        (*position, content.and_then(|content| content.body.as_text().map(str::to_owned)))
    })
}

fn shown(report: &Report) -> Value {
    let handled = report
        .handled
        .as_ref()
        .map(|handled| json!({ "case": handled.case, "by": handled.by, "at": handled.at, "reason": handled.why }));
    json!({
        "report": report.id, "room": report.room,
        "reporter": Some(&report.reporter).filter(|reporter| !reporter.is_provider()),
        "provider": report.reporter.domain(), "alleged": report.alleged, "reason": report.reason,
        "received_at": report.received_at, "messages": report.messages, "proven": report.proven,
        "repeats": report.repeats, "state": name(report.state), "version": report.version, "handled": handled,
    })
}
