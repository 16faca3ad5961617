use std::collections::BTreeSet;

use serde::Deserialize;

use crate::policy::facts::AdminAct;
use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::ask::{AdminAsk, Ask};
use super::expected::Expected;
use super::moment::Moment;
use super::{Row, Tabled, Unclear};

/// A question at the admin door and what must come out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminCase {
    /// What is true, as a sentence.
    it: String,
    /// The roles in the person's token.
    roles: Option<BTreeSet<String>>,
    /// An action at the admin door.
    action: Option<String>,
    /// Which change; absent for what only shows something.
    operation: Option<String>,
    /// The provider it is about; absent for the gateway as a whole.
    about: Option<Domain>,
    /// The room it is about.
    room: Option<RoomUri>,
    /// The user it is about.
    user: Option<UserUri>,
    now: Option<Moment>,
    expect: Option<Expected>,
    /// The same question with some of it otherwise, a case each.
    table: Vec<AdminCase>,
}

impl Tabled for AdminCase {
    fn it(&self) -> &str {
        &self.it
    }

    fn expect(&self) -> Option<&Expected> {
        self.expect.as_ref()
    }

    fn table(&self) -> &[Self] {
        &self.table
    }

    fn over(&self, of: &Self) -> Self {
        let (row, of) = (self.clone(), of.clone());
        Self {
            it: row.it,
            roles: row.roles.or(of.roles),
            action: row.action.or(of.action),
            operation: row.operation.or(of.operation),
            about: row.about.or(of.about),
            room: row.room.or(of.room),
            user: row.user.or(of.user),
            now: row.now.or(of.now),
            expect: row.expect.or(of.expect),
            table: row.table,
        }
    }
}

impl Row<AdminCase> {
    /// The question.
    pub(super) fn ask(&self, now: Moment) -> Result<Ask, Unclear> {
        let case = self.flat()?;
        let action = case.action.as_deref().unwrap_or_default();
        let operation = case.operation.as_deref().unwrap_or("read");
        let act = AdminAct::ALL.into_iter().find(|act| act.name() == action && act.operation() == operation);
        let own = || Domain::parse("gateway.example").ok();
        let (Some(act), Some(about)) = (act, case.about.clone().or_else(own)) else {
            let message = format!("no action `{action}` with the operation `{operation}`");
            let help = "expected an action at the admin door, such as `viewStatus`, or `managePeers` with `suspend`";
            return Err(Unclear::new(action, message, help));
        };
        let roles = case.roles.clone().unwrap_or_default();
        let now = case.now.unwrap_or(now).0;
        let (room, user) = (case.room.clone(), case.user.clone());
        Ok(Ask::Admin(Box::new(AdminAsk { act, roles, about, room, user, now })))
    }
}
