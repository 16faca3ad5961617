//! What users and groups are made of here: of RFC 7643 that by which people are known and policies decide. The rest of its
//! attributes is taken and not kept.

/// The core schema of users (RFC 7643, section 4.1).
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The enterprise extension of users (RFC 7643, section 4.3).
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// The core schema of groups (RFC 7643, section 4.2).
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// Most members of a group.
pub const MAX_MEMBERS: usize = 10_000;
/// Most values of any other attribute with several.
pub const MAX_VALUES: usize = 100;
/// Longest text, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;

/// What an attribute holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text.
    Text,
    /// True or false.
    Boolean,
    /// Other attributes.
    Complex(&'static [Attribute]),
    /// Anything, which is not kept.
    Dropped,
}

/// An attribute, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether there may be several of it, and how many.
    pub most: Option<usize>,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it is told and never taken.
    pub read_only: bool,
    /// Whether case tells two values apart.
    pub exact: bool,
    /// Whether no two resources may have the same.
    pub unique: bool,
    /// What it is, for people.
    pub about: &'static str,
}

/// A schema by its URN.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Its URN.
    pub urn: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
}

/// A kind of resource.
#[derive(Clone, Copy, Debug)]
pub struct ResourceType {
    /// Its name.
    pub name: &'static str,
    /// The last segment of its path.
    pub endpoint: &'static str,
    /// Its own schema.
    pub core: Schema,
    /// What it may have beside.
    pub extensions: &'static [Schema],
}

impl ResourceType {
    /// Its schemas, its own first.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        std::iter::once(&self.core).chain(self.extensions)
    }
}

const fn text(name: &'static str, about: &'static str) -> Attribute {
    Attribute {
        name,
        kind: Kind::Text,
        most: None,
        required: false,
        read_only: false,
        exact: false,
        unique: false,
        about,
    }
}

const fn dropped(name: &'static str) -> Attribute {
    Attribute { kind: Kind::Dropped, ..text(name, "") }
}

const fn told(attribute: Attribute) -> Attribute {
    Attribute { read_only: true, ..attribute }
}

const fn exact(attribute: Attribute) -> Attribute {
    Attribute { exact: true, ..attribute }
}

const fn required(attribute: Attribute) -> Attribute {
    Attribute { required: true, ..attribute }
}

/// What every resource has.
pub(super) const COMMON: &[Attribute] = &[
    told(exact(text("id", "Given by this gateway"))),
    exact(text("externalId", "Given by the identity provider")),
    Attribute {
        kind: Kind::Complex(&[
            told(exact(text("resourceType", "The kind of the resource"))),
            told(exact(text("created", "When it was made"))),
            told(exact(text("lastModified", "When it was changed last"))),
            told(exact(text("location", "Its URL"))),
            told(exact(text("version", "Its entity tag"))),
        ]),
        ..told(text("meta", "About the resource itself"))
    },
];

/// Users.
pub const USER: ResourceType = ResourceType {
    name: "User",
    endpoint: "Users",
    core: Schema {
        urn: USER_URN,
        name: "User",
        about: "A person of the company, and a user of this gateway",
        attributes: &[
            Attribute {
                unique: true,
                ..required(text("userName", "LOCAL or LOCAL@DOMAIN, which names the user mimi://DOMAIN/u/LOCAL"))
            },
            Attribute {
                kind: Kind::Complex(&[
                    text("formatted", "The whole name"),
                    text("familyName", "Family name"),
                    text("givenName", "Given name"),
                    dropped("middleName"),
                    dropped("honorificPrefix"),
                    dropped("honorificSuffix"),
                ]),
                ..text("name", "The person's name")
            },
            text("displayName", "The name to be shown"),
            text("title", "Title"),
            text("userType", "How the person belongs to the company, such as Employee or Contractor"),
            Attribute { kind: Kind::Boolean, ..text("active", "Whether the user has any rights") },
            Attribute {
                kind: Kind::Complex(&[
                    text("value", "The address"),
                    text("type", "Such as work"),
                    Attribute { kind: Kind::Boolean, ..text("primary", "Whether it is the first to be used") },
                    dropped("display"),
                ]),
                most: Some(MAX_VALUES),
                ..text("emails", "E-mail addresses")
            },
            Attribute {
                kind: Kind::Complex(&[
                    told(exact(text("value", "Identifier of the group"))),
                    told(text("$ref", "URL of the group")),
                    told(text("display", "Name of the group")),
                ]),
                most: Some(MAX_VALUES),
                ..told(text("groups", "The groups that the person is in"))
            },
            dropped("nickName"),
            dropped("profileUrl"),
            dropped("preferredLanguage"),
            dropped("locale"),
            dropped("timezone"),
            dropped("password"),
            dropped("phoneNumbers"),
            dropped("ims"),
            dropped("photos"),
            dropped("addresses"),
            dropped("entitlements"),
            dropped("roles"),
            dropped("x509Certificates"),
        ],
    },
    extensions: &[Schema {
        urn: ENTERPRISE_URN,
        name: "EnterpriseUser",
        about: "Where a person is in the company",
        attributes: &[
            text("employeeNumber", "Number of the employee"),
            text("costCenter", "Cost center"),
            text("organization", "Organization"),
            text("division", "Division"),
            text("department", "Department"),
            Attribute {
                kind: Kind::Complex(&[
                    exact(text("value", "Identifier of the manager")),
                    told(text("$ref", "URL of the manager")),
                    told(text("displayName", "Name of the manager")),
                ]),
                ..text("manager", "The person's manager")
            },
        ],
    }],
};

/// Groups.
pub const GROUP: ResourceType = ResourceType {
    name: "Group",
    endpoint: "Groups",
    core: Schema {
        urn: GROUP_URN,
        name: "Group",
        about: "A group of people; directory.rules of the policies say what follows from being in it",
        attributes: &[
            Attribute { unique: true, ..required(text("displayName", "Its name, by which rules know it")) },
            Attribute {
                kind: Kind::Complex(&[
                    exact(text("value", "Identifier of the user")),
                    told(text("$ref", "URL of the user")),
                    told(text("display", "Name of the user")),
                    told(text("type", "Always User: groups in groups are not taken")),
                ]),
                most: Some(MAX_MEMBERS),
                ..text("members", "The people in it")
            },
        ],
    },
    extensions: &[],
};

/// The attribute of this name among some.
pub(super) fn named(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

impl ResourceType {
    /// The attribute of this name that is the resource's own.
    pub(super) fn own(&self, name: &str) -> Option<&'static Attribute> {
        named(COMMON, name).or_else(|| named(self.core.attributes, name))
    }

    /// What it may have beside, by its URN.
    pub(super) fn extension(&self, urn: &str) -> Option<&'static Schema> {
        self.extensions.iter().find(|schema| schema.urn.eq_ignore_ascii_case(urn))
    }
}
