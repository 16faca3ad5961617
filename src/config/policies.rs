use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Where the policy bundle comes from, and what it takes for another one to decide.
#[derive(Clone, Debug)]
pub struct Policies {
    /// Which of the two is the truth.
    pub source: PolicySource,
    /// Folder of a bundle. With [`PolicySource::Store`] it decides first, while the database has none.
    pub folder: PathBuf,
    /// Whether a changed folder decides unaided.
    pub activate: Activate,
    /// How many people stand behind a bundle before it decides: 1, or 2.
    pub approvals: u8,
    /// Who may sign bundles. Unless it is empty, one that none of them has signed is refused.
    pub signers: Vec<Signer>,
    /// How long what people ask of a bundle at the admin door may take, in seconds; where the solver is asked, a minute more.
    pub question_seconds: NonZeroU32,
}

/// Where bundles come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicySource {
    /// From the folder: what changes there becomes a draft. They can be pushed, too.
    #[default]
    Files,
    /// From people: what the folder holds does not matter once a bundle decides.
    Store,
}

/// What happens with a draft from the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activate {
    /// It decides at once, unless that takes two people.
    #[default]
    OnChange,
    /// It waits for somebody.
    Manual,
}

/// The Ed25519 public key of somebody who signs bundles: 32 octets in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Signer(pub [u8; 32]);

impl TryFrom<String> for Signer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let octets = STANDARD.decode(text).ok().and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or("expected an Ed25519 public key, 32 octets in base64")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    source: PolicySource,
    folder: PathBuf,
    #[serde(default)]
    activate: Activate,
    #[serde(default = "one")]
    approvals: u8,
    #[serde(default)]
    signers: Vec<Signer>,
    #[serde(default = "half_a_minute")]
    question_seconds: NonZeroU32,
}

fn half_a_minute() -> NonZeroU32 {
    const SECONDS: NonZeroU32 = NonZeroU32::new(30).unwrap();
    SECONDS
}

fn one() -> u8 {
    1
}

impl<'de> Deserialize<'de> for Policies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Policies;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a folder, or a section with `folder`")
            }

            fn visit_str<E: Error>(self, folder: &str) -> Result<Policies, E> {
                let (source, activate) = (PolicySource::default(), Activate::default());
                let (folder, signers, question_seconds) = (folder.into(), Vec::new(), half_a_minute());
                Ok(Policies { source, folder, activate, approvals: 1, signers, question_seconds })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Policies, A::Error> {
                let section = Section::deserialize(MapAccessDeserializer::new(map))?;
                let Section { source, folder, activate, approvals, signers, question_seconds } = section;
                Ok(Policies { source, folder, activate, approvals, signers, question_seconds })
            }
        }
        deserializer.deserialize_any(Written)
    }
}
