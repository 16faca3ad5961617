//! What a room says of itself from the start: the part of its metadata that whoever creates it gives.

use crate::wire::components::{RichDescription, RoomMetadata};
use crate::wire::uri::RoomUri;

/// What a room says of itself from the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its display name.
    pub name: String,
    /// What it is for, in plain text; empty for nothing.
    pub description: String,
    /// An https URL of its picture, or empty.
    pub avatar: String,
    /// What is talked about, or empty.
    pub subject: String,
}

impl About {
    /// A name, and nothing else.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// What the metadata of a room say, if it is what rooms can say from the start.
    pub fn of(metadata: &RoomMetadata) -> Option<Self> {
        let description = match metadata.descriptions.as_slice() {
            [] => String::new(),
            [only] => String::from_utf8(only.content.clone()).ok()?,
            _ => return None,
        };
        let RoomMetadata { room, name, avatar, subject, .. } = metadata;
        let about = Self { name: name.clone(), description, avatar: avatar.clone(), subject: subject.clone() };
        (about.metadata(room) == *metadata).then_some(about)
    }

    pub(super) fn metadata(&self, room: &RoomUri) -> RoomMetadata {
        let plain = |text: &String| RichDescription {
            media_type: String::new(),
            language: String::new(),
            content: text.clone().into_bytes(),
        };
        RoomMetadata {
            room: room.clone(),
            name: self.name.clone(),
            descriptions: Some(&self.description).filter(|text| !text.is_empty()).map(plain).into_iter().collect(),
            avatar: self.avatar.clone(),
            subject: self.subject.clone(),
            mood: String::new(),
        }
    }
}
