//! Encodings that the derive macros of `tls_codec` do not know, for its `with` attribute.

use tls_codec::Error;

/// An error that says what is wrong.
pub(super) fn malformed(what: impl ToString) -> Error {
    Error::DecodingError(what.to_string())
}

/// `opaque x<V>`.
pub(super) mod opaque {
    use std::io::{Read, Write};

    use tls_codec::{Deserialize, Error, Serialize, Size, VLByteSlice, VLBytes};

    pub(in crate::wire) fn tls_serialized_len(bytes: &[u8]) -> usize {
        VLByteSlice(bytes).tls_serialized_len()
    }

    pub(in crate::wire) fn tls_serialize<W: Write>(bytes: &[u8], writer: &mut W) -> Result<usize, Error> {
        VLByteSlice(bytes).tls_serialize(writer)
    }

    pub(in crate::wire) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Vec<u8>, Error> {
        Ok(VLBytes::tls_deserialize(reader)?.into())
    }
}

/// `string`: `opaque x<V>` of UTF-8 without NUL (reading D-3).
pub(super) mod text {
    use std::io::{Read, Write};

    use tls_codec::Error;

    use super::{malformed, opaque};

    pub(in crate::wire) fn tls_serialized_len(text: &str) -> usize {
        opaque::tls_serialized_len(text.as_bytes())
    }

    pub(in crate::wire) fn tls_serialize<W: Write>(text: &str, writer: &mut W) -> Result<usize, Error> {
        opaque::tls_serialize(text.as_bytes(), writer)
    }

    pub(in crate::wire) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<String, Error> {
        let text = String::from_utf8(opaque::tls_deserialize(reader)?).map_err(malformed)?;
        if text.contains('\0') { Err(malformed("text contains a NUL")) } else { Ok(text) }
    }
}

/// A timestamp: `uint64` milliseconds since the UNIX epoch.
pub(super) mod millis {
    use std::io::{Read, Write};

    use tls_codec::{Deserialize, Error, Serialize, Size};

    use crate::time::Millis;

    pub(in crate::wire) fn tls_serialized_len(at: &Millis) -> usize {
        at.0.tls_serialized_len()
    }

    pub(in crate::wire) fn tls_serialize<W: Write>(at: &Millis, writer: &mut W) -> Result<usize, Error> {
        at.0.tls_serialize(writer)
    }

    pub(in crate::wire) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Millis, Error> {
        u64::tls_deserialize(reader).map(Millis)
    }
}

/// `x<V>` of `opaque<V>`.
pub(super) mod opaques {
    use std::io::{Read, Write};

    use tls_codec::{Deserialize, Error, Serialize, Size, VLByteSlice, VLBytes};

    pub(in crate::wire) fn tls_serialized_len(items: &[Vec<u8>]) -> usize {
        items.iter().map(|item| VLByteSlice(item)).collect::<Vec<_>>().tls_serialized_len()
    }

    pub(in crate::wire) fn tls_serialize<W: Write>(items: &[Vec<u8>], writer: &mut W) -> Result<usize, Error> {
        items.iter().map(|item| VLByteSlice(item)).collect::<Vec<_>>().tls_serialize(writer)
    }

    pub(in crate::wire) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Vec<Vec<u8>>, Error> {
        Ok(Vec::<VLBytes>::tls_deserialize(reader)?.into_iter().map(Vec::from).collect())
    }
}

/// `bool`: one octet, 0 or 1 (reading D-4).
pub(super) mod flag {
    use std::io::{Read, Write};

    use tls_codec::{Deserialize, Error, Serialize};

    pub(in crate::wire) fn tls_serialized_len(_: &bool) -> usize {
        1
    }

    pub(in crate::wire) fn tls_serialize<W: Write>(flag: &bool, writer: &mut W) -> Result<usize, Error> {
        u8::from(*flag).tls_serialize(writer)
    }

    pub(in crate::wire) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<bool, Error> {
        match u8::tls_deserialize(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            unknown => Err(Error::UnknownValue(unknown.into())),
        }
    }
}

/// `optional<opaque x<V>>`.
pub(super) mod optional_opaque {
    use std::io::{Read, Write};

    use tls_codec::{Deserialize, Error, Serialize, Size, VLByteSlice, VLBytes};

    pub(in crate::wire) fn tls_serialized_len(bytes: &Option<Vec<u8>>) -> usize {
        bytes.as_deref().map(VLByteSlice).tls_serialized_len()
    }

    pub(in crate::wire) fn tls_serialize<W: Write>(bytes: &Option<Vec<u8>>, writer: &mut W) -> Result<usize, Error> {
        bytes.as_deref().map(VLByteSlice).tls_serialize(writer)
    }

    pub(in crate::wire) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Option<Vec<u8>>, Error> {
        Ok(Option::<VLBytes>::tls_deserialize(reader)?.map(Vec::from))
    }
}

/// A room identifier that is empty where there is no room (reading D-19).
pub(super) mod room_or_empty {
    use std::io::{Read, Write};

    use tls_codec::Error;

    use crate::wire::uri::RoomUri;

    use super::{malformed, opaque};

    fn bytes(room: &Option<RoomUri>) -> &[u8] {
        room.as_ref().map(RoomUri::as_bytes).unwrap_or_default()
    }

    pub(in crate::wire) fn tls_serialized_len(room: &Option<RoomUri>) -> usize {
        opaque::tls_serialized_len(bytes(room))
    }

    pub(in crate::wire) fn tls_serialize<W: Write>(room: &Option<RoomUri>, writer: &mut W) -> Result<usize, Error> {
        opaque::tls_serialize(bytes(room), writer)
    }

    pub(in crate::wire) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Option<RoomUri>, Error> {
        match opaque::tls_deserialize(reader)?.as_slice() {
            [] => Ok(None),
            uri => RoomUri::from_bytes(uri).map(Some).map_err(malformed),
        }
    }
}

/// A user identifier that is empty where nobody is named (reading D-56).
pub(super) mod user_or_empty {
    use std::io::{Read, Write};

    use tls_codec::Error;

    use crate::wire::uri::UserUri;

    use super::{malformed, opaque};

    fn bytes(user: &Option<UserUri>) -> &[u8] {
        user.as_ref().map(UserUri::as_bytes).unwrap_or_default()
    }

    pub(in crate::wire) fn tls_serialized_len(user: &Option<UserUri>) -> usize {
        opaque::tls_serialized_len(bytes(user))
    }

    pub(in crate::wire) fn tls_serialize<W: Write>(user: &Option<UserUri>, writer: &mut W) -> Result<usize, Error> {
        opaque::tls_serialize(bytes(user), writer)
    }

    pub(in crate::wire) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Option<UserUri>, Error> {
        match opaque::tls_deserialize(reader)?.as_slice() {
            [] => Ok(None),
            uri => UserUri::from_bytes(uri).map(Some).map_err(malformed),
        }
    }
}

/// `T x<V>` with at most one entry (reading P-2).
pub(super) mod at_most_one {
    use std::io::{Read, Write};

    use tls_codec::{Deserialize, Error, Serialize, Size};

    use super::malformed;

    pub(in crate::wire) fn tls_serialized_len<T: Size>(item: &Option<T>) -> usize {
        item.as_slice().tls_serialized_len()
    }

    pub(in crate::wire) fn tls_serialize<T: Serialize + std::fmt::Debug, W: Write>(
        item: &Option<T>,
        writer: &mut W,
    ) -> Result<usize, Error> {
        item.as_slice().tls_serialize(writer)
    }

    pub(in crate::wire) fn tls_deserialize<T: Deserialize, R: Read>(reader: &mut R) -> Result<Option<T>, Error> {
        let mut items = Vec::tls_deserialize(reader)?;
        if items.len() > 1 { Err(malformed("more than one entry")) } else { Ok(items.pop()) }
    }
}

/// `x<V>` of texts.
pub(super) mod texts {
    use std::io::{Read, Write};

    use tls_codec::{Error, Size, VLByteSlice};

    use super::{malformed, opaques};

    pub(in crate::wire) fn tls_serialized_len(items: &[String]) -> usize {
        items.iter().map(|item| VLByteSlice(item.as_bytes())).collect::<Vec<_>>().tls_serialized_len()
    }

    pub(in crate::wire) fn tls_serialize<W: Write>(items: &[String], writer: &mut W) -> Result<usize, Error> {
        let items: Vec<_> = items.iter().map(|item| VLByteSlice(item.as_bytes())).collect();
        tls_codec::Serialize::tls_serialize(&items, writer)
    }

    pub(in crate::wire) fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Vec<String>, Error> {
        let text = |item: Vec<u8>| match String::from_utf8(item) {
            Ok(text) if text.contains('\0') => Err(malformed("text contains a NUL")),
            other => other.map_err(malformed),
        };
        opaques::tls_deserialize(reader)?.into_iter().map(text).collect()
    }
}
