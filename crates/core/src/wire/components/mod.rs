//! Components: what stands in the app_data_dictionary of the GroupContext (draft-ietf-mls-extensions), one file each.

mod capability;
mod dictionary;
mod id;
mod participants;
mod roles;

pub use capability::Capability;
pub use dictionary::{Component, Dictionary};
pub use id::ComponentId;
pub use participants::{Participant, ParticipantList, ParticipantListUpdate, RoleChange};
pub use roles::{AuthorizedRoleChange, Role, RolesList};
