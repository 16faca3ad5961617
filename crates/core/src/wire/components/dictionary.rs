//! The app_data_dictionary: components by number.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use tls_codec::{
    Deserialize as TlsDeserialize, Error, Serialize as TlsSerialize, Size, TlsDeserialize, TlsSerialize, TlsSize,
};

use crate::wire::{DecodeError, Wire, codec, wire};

use super::ComponentId;

/// A struct that is the whole data of one component.
pub trait Component: Wire {
    /// The number it stands under.
    const ID: ComponentId;
}

/// `AppDataDictionary`: the data of each component, strictly ascending by number (draft-ietf-mls-extensions).
///
/// The same bytes stand inside the extension data of extension 6 and, without a wrapper, in fields of MIMI bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dictionary(BTreeMap<ComponentId, Vec<u8>>);

impl Dictionary {
    /// The data of a component.
    pub fn get(&self, id: ComponentId) -> Option<&[u8]> {
        self.0.get(&id).map(Vec::as_slice)
    }

    /// Sets the data of a component and returns what stood there.
    pub fn insert(&mut self, id: ComponentId, data: Vec<u8>) -> Option<Vec<u8>> {
        self.0.insert(id, data)
    }

    /// Takes a component out.
    pub fn remove(&mut self, id: ComponentId) -> Option<Vec<u8>> {
        self.0.remove(&id)
    }

    /// The components in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (ComponentId, &[u8])> {
        self.0.iter().map(|(id, data)| (*id, data.as_slice()))
    }

    /// Whether no component stands in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decodes the component `T`; `None` when it is absent.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when its data is not a `T`.
    pub fn read<T: Component>(&self) -> Result<Option<T>, DecodeError> {
        self.get(T::ID).map(T::decode).transpose()
    }

    /// Encodes `component` under its number.
    pub fn write<T: Component>(&mut self, component: &T) {
        self.insert(T::ID, component.encode());
    }
}

impl FromIterator<(ComponentId, Vec<u8>)> for Dictionary {
    fn from_iter<I: IntoIterator<Item = (ComponentId, Vec<u8>)>>(components: I) -> Self {
        Self(components.into_iter().collect())
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
        self.0.iter().map(|(id, data)| ComponentData { id: *id, data: data.clone() }).collect()
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
        Ok(Self(entries.into_iter().map(|entry| (entry.id, entry.data)).collect()))
    }
}

wire!(Dictionary);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_out_of_order_or_twice_are_refused() {
        assert!(Dictionary::decode(&[6, 0, 1, 0, 0, 2, 0]).is_ok());
        assert!(matches!(Dictionary::decode(&[6, 0, 2, 0, 0, 1, 0]), Err(DecodeError::Malformed(..))));
        assert!(matches!(Dictionary::decode(&[6, 0, 1, 0, 0, 1, 0]), Err(DecodeError::Malformed(..))));
    }

    #[test]
    fn an_empty_dictionary_is_one_zero_byte() {
        assert_eq!(Dictionary::default().encode(), [0]);
        assert_eq!(Dictionary::decode(&[0]), Ok(Dictionary::default()));
    }
}
