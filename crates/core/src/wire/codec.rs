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
