//! SCIM 2.0 as far as it is about bytes and values (RFC 7643, RFC 7644): what users and groups are made of, filters, and changes
//! of parts. What identity providers really send is taken: names whatever their case, booleans in quotation marks, a value where
//! a list of one is meant.

mod filter;
mod members;
mod patch;
mod path;
mod schema;
mod values;

pub use filter::{Filter, MAX_DEPTH, MAX_FILTER_BYTES};
pub use members::{MembersChange, MembersFilter};
pub use patch::{MAX_OPERATIONS, Patch};
pub use path::AttributePath;
pub use schema::{
    Attribute, ENTERPRISE_URN, GROUP, GROUP_URN, Kind, MAX_MEMBERS, MAX_TEXT_BYTES, MAX_VALUES, ResourceType, Schema,
    USER, USER_URN,
};
pub use values::{canonical, projected};

/// What is wrong with a request, in the terms of RFC 7644, section 3.12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimType {
    /// The filter cannot be read.
    InvalidFilter,
    /// The filter would take more work than a request may.
    TooMany,
    /// Another resource has this already.
    Uniqueness,
    /// Nobody may change this.
    Mutability,
    /// The body cannot be read.
    InvalidSyntax,
    /// The path of an operation cannot be read, or leads nowhere.
    InvalidPath,
    /// The path of an operation fits nothing that is there.
    NoTarget,
    /// A value is missing, or not what the attribute takes.
    InvalidValue,
}

impl ScimType {
    /// As errors spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
        }
    }
}

/// Why a request is not carried out. The sentence names attributes, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    /// What is wrong.
    pub kind: ScimType,
    /// The same for people.
    pub detail: String,
}

impl ScimError {
    /// An error with its sentence.
    pub fn new(kind: ScimType, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests;
