use std::collections::BTreeSet;

use cedar_policy::{EntityUid, RestrictedExpression, Schema};

use super::{Asked, FactsError, Slice, datetime, text};
use crate::policy::facts::{AdminAct, AdminQuestion};
use crate::policy::settings::Directory;
use crate::policy::vocabulary::{Act, Vocabulary, uid};
use crate::time::Millis;
use crate::wire::uri::{Domain, RoomUri, UserUri};

/// Turns a question at the admin door into a request with its entities.
pub(in crate::policy) fn of_admin(
    vocabulary: &Vocabulary,
    directory: &Directory,
    act: &Act,
    question: &AdminQuestion<'_>,
) -> Result<Asked, FactsError> {
    let mut slice = Slice::new(vocabulary, directory, act);
    let roles: BTreeSet<EntityUid> =
        question.roles.iter().map(|role| slice.mark(&vocabulary.operator_role, role)).collect();
    let operator = uid(&vocabulary.operator, question.operator);
    slice.insert(&operator, vec![("subject", text(question.operator))], roles, Vec::new())?;
    let about = slice.provider(question.about)?;
    let mut context: Vec<(&str, RestrictedExpression)> =
        vec![("now", datetime(question.now)?), ("operation", text(question.act.operation()))];
    context.extend(question.room.map(|room| ("room", text(room.as_str()))));
    context.extend(question.user.map(|user| ("user", text(user.as_str()))));
    slice.ask(operator, about, context)
}

/// Checks that what is built here is what the schema of the bundle declares.
pub(super) fn conform(vocabulary: &Vocabulary, directory: &Directory, schema: &Schema) -> Result<(), FactsError> {
    let about = Domain::parse("sample.example").map_err(FactsError::cedar("sample"))?;
    let room = RoomUri::parse("mimi://sample.example/r/a").map_err(FactsError::cedar("sample"))?;
    let user = UserUri::parse("mimi://sample.example/u/a").map_err(FactsError::cedar("sample"))?;
    let roles = BTreeSet::new();
    for act in AdminAct::ALL {
        let (room, user) = (Some(&room), Some(&user));
        let question =
            AdminQuestion { act, operator: "sample", roles: &roles, about: &about, room, user, now: Millis(0) };
        if let Some(found) = vocabulary.admin(act) {
            let asked = of_admin(vocabulary, directory, found, &question)?;
            asked.request_conforms(schema)?;
            asked.entities_conform(schema)?;
        }
    }
    Ok(())
}
