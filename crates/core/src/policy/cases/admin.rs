use std::collections::BTreeSet;

use serde::Deserialize;

use super::{CaseOutcome, Expected};
use crate::policy::diagnostic::{Diagnostic, Source};
use crate::policy::engine::Engine;
use crate::policy::facts::{AdminAct, AdminQuestion};
use crate::policy::verdict::Verdict;
use crate::time::Millis;
use crate::wire::uri::{Domain, RoomUri, UserUri};

/// A question at the admin door and what must come out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminCase {
    /// What is true, as a sentence.
    it: String,
    /// The roles in the person's token.
    roles: BTreeSet<String>,
    /// An action at the admin door.
    action: String,
    /// Which change; absent for what only shows something.
    #[serde(default = "read")]
    operation: String,
    /// The provider it is about; absent for the gateway as a whole.
    about: Option<Domain>,
    /// The room it is about.
    room: Option<RoomUri>,
    /// The user it is about.
    user: Option<UserUri>,
    #[serde(default)]
    now: Millis,
    expect: Expected,
}

fn read() -> String {
    "read".to_owned()
}

impl AdminCase {
    fn act(&self) -> Option<AdminAct> {
        AdminAct::ALL.into_iter().find(|act| act.name() == self.action && act.operation() == self.operation)
    }

    pub(super) fn check(&self, source: Source<'_>, policies: &BTreeSet<String>) -> Vec<Diagnostic> {
        let start = source.text.find(self.it.as_str()).unwrap_or(0);
        let mut wrong = self.expect.check(start, source, policies);
        if self.act().is_none() {
            let message = format!("no action `{}` with the operation `{}`", self.action, self.operation);
            let help = "expected an action at the admin door, such as `viewStatus`, or `managePeers` with `suspend`";
            wrong.push(source.near(start, &self.action, message, Some(help.to_owned())));
        }
        wrong
    }

    pub(super) fn run(&self, file: &str, engine: &Engine) -> CaseOutcome {
        let verdict = self.ask(engine);
        let failure = self.expect.failure(&verdict);
        CaseOutcome { file: file.to_owned(), it: self.it.clone(), verdict, failure }
    }

    fn ask(&self, engine: &Engine) -> Verdict {
        let own = Domain::parse("gateway.example").ok();
        let (Some(act), Some(about)) = (self.act(), self.about.as_ref().or(own.as_ref())) else {
            return Verdict::deny("UNKNOWN_ACTION");
        };
        engine.decide_admin(&AdminQuestion {
            act,
            operator: "somebody",
            roles: &self.roles,
            about,
            room: self.room.as_ref(),
            user: self.user.as_ref(),
            now: self.now,
        })
    }
}
