//! A question that a command is about: a case of a file, or put together from flags.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use portcullis_core::policy::{Bundle, Diagnostic, OpenFact, Suite};
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_core::yaml;
use serde_json::{Map, Value, json};

use super::{Failure, Format};

/// What a question is put together from; a case has all of it.
const QUESTION: [&str; 10] =
    ["actor", "action", "room", "target", "from_role", "to_role", "now", "bytes", "suite", "source"];

/// Flags that make a question.
#[derive(Debug, clap::Args)]
pub(super) struct Question {
    /// A file of cases, with its rooms and settings: of the bundle, such as tests/company.yaml, or any other
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,

    /// The case whose sentence has this in it; it must be the only one
    #[arg(long, value_name = "TEXT", requires = "cases", conflicts_with_all = QUESTION)]
    it: Option<String>,

    /// Who
    #[arg(long, value_name = "URI")]
    actor: Option<UserUri>,

    /// What: a capability, or without a room an action at the door
    #[arg(long, value_name = "NAME")]
    action: Option<String>,

    /// Where: the name of a room of the file of cases, or the URI of a room that --template and --participant describe
    #[arg(long, value_name = "NAME-OR-URI")]
    room: Option<String>,

    /// To whom, when it is somebody else
    #[arg(long, value_name = "URI")]
    target: Option<UserUri>,

    /// The room template whose roles the room has
    #[arg(long, value_name = "NAME", conflicts_with = "cases")]
    template: Option<String>,

    /// A participant of the room and its role, by name or number; more than one may be given
    #[arg(long = "participant", value_name = "URI=ROLE", value_parser = participant, requires = "template", conflicts_with = "cases")]
    participants: Vec<(UserUri, String)>,

    /// The room is another provider's
    #[arg(long, conflicts_with = "cases")]
    follower: bool,

    /// The room is frozen
    #[arg(long, conflicts_with = "cases")]
    frozen: bool,

    /// The room stands under legal hold
    #[arg(long, conflicts_with = "cases")]
    legal_hold: bool,

    /// A user who is muted in the room
    #[arg(long, value_name = "URI", conflicts_with = "cases")]
    muted: Vec<UserUri>,

    /// Role of the target before, by name or number
    #[arg(long, value_name = "ROLE")]
    from_role: Option<String>,

    /// Role of the target after
    #[arg(long, value_name = "ROLE")]
    to_role: Option<String>,

    /// When, such as 2026-11-20T21:30:00+01:00
    #[arg(long, value_name = "TIME")]
    now: Option<String>,

    /// Size of the message, in bytes
    #[arg(long, value_name = "BYTES")]
    bytes: Option<u64>,

    /// MLS ciphersuite of the room's group
    #[arg(long, value_name = "NUMBER")]
    suite: Option<u16>,

    /// Domain of the provider that hands it in [default: the actor's]
    #[arg(long, value_name = "DOMAIN")]
    source: Option<String>,
}

/// What the command is about before anything is said of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    /// Nobody need be named.
    pub(super) actor: bool,
    /// Nothing need be named.
    pub(super) action: bool,
    /// No room need be named.
    pub(super) room: bool,
}

fn participant(text: &str) -> Result<(UserUri, String), String> {
    let (user, role) =
        text.rsplit_once('=').ok_or("expected URI=ROLE, such as mimi://a.example/u/alice=group_admin")?;
    Ok((UserUri::parse(user).map_err(|error| error.to_string())?, role.to_owned()))
}

/// The name under which the room of the flags stands among the cases.
const ROOM: &str = "room";

impl Question {
    /// The suite that has the question in it, and its number there.
    pub(super) fn read(
        &self,
        dir: &Path,
        (bundle, format): (&Bundle, Format),
        open: Open,
    ) -> Result<(Suite, usize), Failure> {
        let file = self.cases.as_ref().map(|path| CasesFile::read(dir, path)).transpose()?;
        if let Some(file) = &file {
            let suite = bundle.questions(&file.name, &file.text).map_err(|wrong| file.invalid(format, wrong))?;
            if let Some(text) = &self.it {
                let number = suite.only(text).map_err(Failure::usage)?;
                return Ok((suite, number));
            }
        }
        let mut written = match &file {
            Some(file) => yaml::parse::<Map<String, Value>>(&file.text).context("cases cannot be read")?,
            None => Map::new(),
        };
        let anywhere = || written.get("rooms")?.as_object()?.keys().next().cloned();
        let anywhere = if open.room && self.room.is_none() { anywhere() } else { None };
        let room = self.place(&mut written)?.or(anywhere);
        written.insert("cases".to_owned(), json!([self.case(room, open)?]));
        written.remove("admin");
        let text = Value::Object(written).to_string();
        let suite = bundle.questions("the question", &text).map_err(|wrong| {
            let wrong: Vec<String> = wrong
                .into_iter()
                .map(|wrong| match wrong.help {
                    Some(help) => format!("{} ({help})", wrong.message),
                    None => wrong.message,
                })
                .collect();
            Failure::usage(wrong.join("; "))
        })?;
        Ok((suite, 0))
    }

    /// Refuses what a question over all users, capabilities or rooms has no use for.
    pub(super) fn fits(&self, open: Open) -> Result<(), Failure> {
        let unused = [
            (open.actor && self.actor.is_some(), "who-can asks for every participant: leave --actor out"),
            (open.action && self.action.is_some(), "what-can asks for every capability: leave --action out"),
            (open.room && self.room.is_some(), "where-can asks in every room of a file of cases: leave --room out"),
            (open.room && self.cases.is_none(), "where-can asks in the rooms of a file of cases: give --cases"),
        ];
        match unused.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, message)) => Err(Failure::usage(message)),
            None => Ok(()),
        }
    }

    /// What of the request stays open: a case is whole, flags name what they name.
    pub(super) fn open_facts(&self) -> BTreeSet<OpenFact> {
        let open = [(OpenFact::Now, self.now.is_none()), (OpenFact::Bytes, self.bytes.is_none())];
        open.into_iter().filter(|(_, open)| *open && self.it.is_none()).map(|(fact, _)| fact).collect()
    }

    /// The name of the room among the rooms of the suite, where one is named.
    fn place(&self, written: &mut Map<String, Value>) -> Result<Option<String>, Failure> {
        let Some(room) = self.room.as_ref().filter(|room| room.starts_with("mimi:")) else {
            let describing = [
                ("--template", self.template.is_some()),
                ("--follower", self.follower),
                ("--frozen", self.frozen),
                ("--legal-hold", self.legal_hold),
                ("--muted", !self.muted.is_empty()),
            ];
            if let Some((flag, _)) = describing.into_iter().find(|(_, given)| *given) {
                return Err(Failure::usage(format!("{flag} describes a room: name it with --room and its URI")));
            }
            return Ok(self.room.clone());
        };
        let uri = RoomUri::parse(room).map_err(|error| Failure::usage(format!("--room: {error}")))?;
        let side = if self.follower { "follower" } else { "hub" };
        let mut described = json!({
            "room": uri, "side": side, "frozen": self.frozen, "legal_hold": self.legal_hold, "muted": self.muted,
        });
        if let Some(template) = &self.template {
            let participants: BTreeMap<String, Value> =
                self.participants.iter().map(|(user, name)| (user.to_string(), role(name))).collect();
            described["template"] = json!(template);
            described["participants"] = json!(participants);
        }
        written.insert("rooms".to_owned(), json!({ ROOM: described }));
        Ok(Some(ROOM.to_owned()))
    }

    fn case(&self, room: Option<String>, open: Open) -> Result<Value, Failure> {
        // What stands for all users or capabilities is replaced by each of them.
        let anybody = || open.actor.then(|| UserUri::parse("mimi://anybody.invalid/u/anybody").ok()).flatten();
        let actor = self.actor.clone().or_else(anybody);
        let action = self.action.clone().or_else(|| open.action.then(|| "canSendMessage".to_owned()));
        let (Some(actor), Some(action)) = (actor, action) else {
            let needed = match (open.actor, open.action) {
                (true, _) => "--action, or --cases with --it",
                (_, true) => "--actor, or --cases with --it",
                (false, false) => "--actor and --action, or --cases with --it",
            };
            return Err(Failure::usage(format!("nothing is asked: give {needed}")));
        };
        let given = [
            ("room", room.map(Value::from)),
            ("target", self.target.as_ref().map(|target| json!(target))),
            ("from_role", self.from_role.as_deref().map(role)),
            ("to_role", self.to_role.as_deref().map(role)),
            ("now", self.now.as_ref().map(|now| json!(now))),
            ("bytes", self.bytes.map(Value::from)),
            ("suite", self.suite.map(Value::from)),
            ("source", self.source.as_ref().map(|source| json!(source))),
        ];
        let mut case = Map::from_iter([("actor".to_owned(), json!(actor)), ("action".to_owned(), json!(action))]);
        case.extend(given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        Ok(Value::Object(case))
    }
}

/// A role by its number or its name.
fn role(name: &str) -> Value {
    name.parse::<u32>().map_or_else(|_| json!(name), Value::from)
}

struct CasesFile {
    path: PathBuf,
    name: String,
    text: String,
}

impl CasesFile {
    fn read(dir: &Path, path: &Path) -> Result<Self, Failure> {
        let in_bundle = dir.join(path);
        let path = if in_bundle.is_file() { in_bundle } else { path.to_owned() };
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()));
        let text = text.map_err(|error| Failure::usage(format!("{error:#}")))?;
        Ok(Self { name: path.display().to_string(), path, text })
    }

    fn invalid(&self, format: Format, wrong: Vec<Diagnostic>) -> Failure {
        let files = BTreeMap::from([(self.name.clone(), self.text.clone().into_bytes())]);
        let folder = if self.path.is_absolute() { Path::new("/") } else { Path::new("") };
        super::invalid(folder, &files, format, wrong)
    }
}
