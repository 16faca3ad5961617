//! The app_data_dictionary: components by number.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use tls_codec::{
    Deserialize as TlsDeserialize, Error, Serialize as TlsSerialize, Size, TlsDeserialize, TlsSerialize, TlsSize,
};

use crate::wire::{DecodeError, Wire, codec, wire};

use super::{ComponentId, ParticipantList};

/// A struct that is the whole data of one component.
pub trait Component: Wire {
    /// The number it stands under.
    const ID: ComponentId;
}

/// `AppDataDictionary`: the data of each component, strictly ascending by number (draft-ietf-mls-extensions).
///
/// The same bytes stand inside the extension data of extension 6 and, without a wrapper, in fields of MIMI bodies.
#[derive(Clone, Default)]
pub struct Dictionary {
    components: BTreeMap<ComponentId, Vec<u8>>,
    /// What the bytes of the participant list say, once somebody has asked.
    participants: OnceLock<Arc<ParticipantList>>,
}

impl Dictionary {
    /// The data of a component.
    pub fn get(&self, id: ComponentId) -> Option<&[u8]> {
        self.components.get(&id).map(Vec::as_slice)
    }

    /// Sets the data of a component and returns what stood there.
    pub fn insert(&mut self, id: ComponentId, data: Vec<u8>) -> Option<Vec<u8>> {
        self.changes(id);
        self.components.insert(id, data)
    }

    /// Takes a component out.
    pub fn remove(&mut self, id: ComponentId) -> Option<Vec<u8>> {
        self.changes(id);
        self.components.remove(&id)
    }

    /// The components in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (ComponentId, &[u8])> {
        self.components.iter().map(|(id, data)| (*id, data.as_slice()))
    }

    /// Whether no component stands in it.
    pub fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    /// Decodes the component `T`; `None` when it is absent.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when its data is not a `T`.
    pub fn read<T: Component>(&self) -> Result<Option<T>, DecodeError> {
        self.get(T::ID).map(T::decode).transpose()
    }

    /// As [`Self::read`], for the list of a room of thousands, which many ask for: it is decoded once.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn participants(&self) -> Result<Option<Arc<ParticipantList>>, DecodeError> {
        if let Some(list) = self.participants.get() {
            return Ok(Some(Arc::clone(list)));
        }
        let list = self.read::<ParticipantList>()?.map(Arc::new);
        Ok(list.map(|list| Arc::clone(self.participants.get_or_init(|| list))))
    }

    /// Spares everybody to decode a list that is known.
    pub(crate) fn know_participants(&mut self, list: ParticipantList) {
        self.participants = Arc::new(list).into();
    }

    /// Forgets what is known of a component that changes.
    fn changes(&mut self, id: ComponentId) {
        if id == ParticipantList::ID {
            self.participants.take();
        }
    }

    /// Encodes `component` under its number.
    pub fn write<T: Component>(&mut self, component: &T) {
        self.insert(T::ID, component.encode());
    }
}

impl FromIterator<(ComponentId, Vec<u8>)> for Dictionary {
    fn from_iter<I: IntoIterator<Item = (ComponentId, Vec<u8>)>>(components: I) -> Self {
        Self { components: components.into_iter().collect(), participants: OnceLock::new() }
    }
}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.components == other.components
    }
}

impl Eq for Dictionary {}

impl Debug for Dictionary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dictionary").field(&self.components).finish()
    }
}

#[derive(Debug, TlsSize, TlsSerialize, TlsDeserialize)]
struct ComponentData {
    id: ComponentId,
    #[tls_codec(with = "codec::opaque")]
    data: Vec<u8>,
}

impl Dictionary {
    fn entries(&self) -> Vec<ComponentData> {
        self.components.iter().map(|(id, data)| ComponentData { id: *id, data: data.clone() }).collect()
    }
}

impl Size for Dictionary {
    fn tls_serialized_len(&self) -> usize {
        self.entries().tls_serialized_len()
    }
}

impl TlsSerialize for Dictionary {
    fn tls_serialize<W: Write>(&self, writer: &mut W) -> Result<usize, Error> {
        self.entries().tls_serialize(writer)
    }
}

impl TlsDeserialize for Dictionary {
    fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Self, Error> {
        let entries = Vec::<ComponentData>::tls_deserialize(reader)?;
        if !entries.is_sorted_by(|a, b| a.id < b.id) {
            return Err(codec::malformed("components are not strictly ascending"));
        }
        Ok(entries.into_iter().map(|entry| (entry.id, entry.data)).collect())
    }
}

wire!(Dictionary);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::components::Participant;
    use crate::wire::uri::UserUri;

    #[test]
    fn components_out_of_order_or_twice_are_refused() {
        assert!(Dictionary::decode(&[6, 0, 1, 0, 0, 2, 0]).is_ok());
        assert!(matches!(Dictionary::decode(&[6, 0, 2, 0, 0, 1, 0]), Err(DecodeError::Malformed(..))));
        assert!(matches!(Dictionary::decode(&[6, 0, 1, 0, 0, 1, 0]), Err(DecodeError::Malformed(..))));
    }

    #[test]
    fn a_list_that_was_read_is_forgotten_when_it_changes() {
        let mut dictionary = Dictionary::default();
        assert_eq!(dictionary.participants(), Ok(None));
        let list = |name: &str| {
            let user = UserUri::parse(&format!("mimi://a.example/u/{name}")).unwrap();
            ParticipantList { participants: vec![Participant { user, role_index: 2 }] }
        };
        for name in ["alice", "bob"] {
            dictionary.write(&list(name));
            assert_eq!(*dictionary.participants().unwrap().unwrap(), list(name));
            assert_eq!(dictionary.clone().participants(), dictionary.participants());
        }
        dictionary.remove(ComponentId::PARTICIPANT_LIST);
        assert_eq!(dictionary.participants(), Ok(None));
        dictionary.insert(ComponentId::PARTICIPANT_LIST, vec![0xff]);
        assert!(dictionary.participants().is_err());
    }

    #[test]
    fn an_empty_dictionary_is_one_zero_byte() {
        assert_eq!(Dictionary::default().encode(), [0]);
        assert_eq!(Dictionary::decode(&[0]), Ok(Dictionary::default()));
    }
}
