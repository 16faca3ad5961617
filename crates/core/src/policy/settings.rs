//! `settings.yaml`: what the company says about providers, users and rooms.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use super::attributes::{DirectoryRule, DirectorySettings, Given, UserRule};
use super::diagnostic::{Diagnostic, Source};
use super::looks;
use super::obligations::{self, ObligationSettings};
use super::people::{People, Person};
use crate::room::Envelope;
use crate::search::{Field, usual_fields};
use crate::wire::uri::{Domain, RoomUri, UserUri};
use crate::yaml;

/// Highest clearance and classification.
const MAX_LEVEL: u8 = 3;

/// The file as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What holds for whom or what is not listed.
    pub defaults: Defaults,
    /// Rooms of other hubs.
    pub follower: FollowerSettings,
    /// Who may reach whom.
    pub consent: ConsentSettings,
    /// What users may be found by.
    pub search: SearchSettings,
    /// What obligations may ask for.
    pub obligations: ObligationSettings,
    /// Which room policies the company accepts.
    pub envelope: Envelope,
    /// What holds for users by their identifiers.
    pub rules: Vec<UserRule>,
    /// People whom the company's identity provider knows.
    pub directory: DirectorySettings,
    /// Providers.
    pub providers: Vec<ProviderSettings>,
    /// Users.
    pub users: Vec<UserSettings>,
    /// Rooms.
    pub rooms: Vec<RoomSettings>,
}

/// What holds for whom or what is not listed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// Users.
    pub user: UserDefaults,
    /// Largest message that may be sent to a room, in bytes of the MLS message.
    pub max_message_bytes: u32,
    /// MLS ciphersuites of groups that users and clients may be brought into.
    pub ciphersuites: BTreeSet<u16>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { user: UserDefaults::default(), max_message_bytes: 1 << 18, ciphersuites: BTreeSet::from([1, 2, 3]) }
    }
}

/// Rooms of other hubs.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FollowerSettings {
    /// What is done about a commit that policy denies.
    pub denied_commit: DeniedCommit,
}

/// Who may reach whom.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentSettings {
    /// Who has a user's consent as long as the user has not decided (reading D-47).
    pub implied: ImpliedConsent,
}

/// What users may be found by. Each field of a profile must be opened by its user, too (reading D-49).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSettings {
    /// Fields that may be searched, such as `oidc.nickname` and `vcard.FN`.
    pub fields: BTreeSet<Field>,
    /// Most users that a query finds.
    pub results: u32,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self { fields: usual_fields(), results: 20 }
    }
}

/// Who has a user's consent as long as the user has not decided. A user who has revoked it has decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImpliedConsent {
    /// All users of all providers that we federate with.
    #[default]
    Peers,
    /// Users of the same provider.
    Provider,
    /// Nobody.
    Nobody,
}

impl ImpliedConsent {
    /// As policies and settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Provider => "provider",
            Self::Nobody => "nobody",
        }
    }
}

/// What is done about a commit that policy denies and that another hub has accepted: it has happened, and no follower
/// can undo it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeniedCommit {
    /// It reaches our users' devices, and the log says that it should not have happened.
    #[default]
    DeliverWithAlarm,
    /// Neither it nor anything after it in its room reaches our users' devices until somebody resolves it. All of it
    /// is kept.
    Withhold,
    /// Our users' devices are told to leave the room (correction C-14), and nothing else of it goes in or out.
    Leave,
}

impl DeniedCommit {
    /// As settings and records spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeliverWithAlarm => "deliver_with_alarm",
            Self::Withhold => "withhold",
            Self::Leave => "leave",
        }
    }
}

/// What holds for users who are not listed, and so for all users of other companies.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserDefaults {
    /// How the company employs them.
    pub employment: Employment,
    /// From 0, public, to 3, secret.
    pub clearance: u8,
}

/// How the company employs a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Employment {
    /// On the payroll.
    Employee,
    /// By contract.
    Contractor,
    /// Not at all.
    #[default]
    Guest,
}

impl Employment {
    /// As policies and settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Employee => "employee",
            Self::Contractor => "contractor",
            Self::Guest => "guest",
        }
    }
}

/// A provider of the federation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Its domain.
    pub domain: Domain,
    /// Whether the company has suspended it with all its users.
    #[serde(default)]
    pub suspended: bool,
    /// Whose law it is under, such as `EU`.
    #[serde(default)]
    pub jurisdiction: String,
    /// Whether it may report abuse for users who do not want to be named.
    #[serde(default)]
    pub anonymous_reports: bool,
    /// Groups of providers that it is in.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// What holds for its users of whom nothing else is said.
    #[serde(default)]
    pub users: Given,
}

/// A user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSettings {
    /// Its URI.
    pub uri: UserUri,
    /// Whether the company has suspended it.
    #[serde(default)]
    pub suspended: bool,
    /// From 0, public, to 3, secret.
    pub clearance: Option<u8>,
    /// Parts of the company that it is in.
    #[serde(default)]
    pub segments: BTreeSet<String>,
    /// How the company employs it.
    pub employment: Option<Employment>,
    /// Whose law it is under, such as `EU`.
    pub jurisdiction: Option<String>,
    /// Whether all its devices are under the control of whom it works for.
    pub managed: Option<bool>,
}

/// A room, of ours or of another hub.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomSettings {
    /// Its URI.
    pub uri: RoomUri,
    /// From 0, public, to 3, secret.
    #[serde(default)]
    pub classification: u8,
    /// Marks that it has.
    #[serde(default)]
    pub labels: BTreeSet<String>,
    /// Instead of the default.
    pub max_message_bytes: Option<u32>,
    /// Instead of the default.
    pub ciphersuites: Option<BTreeSet<u16>>,
    /// Instead of what `follower` says.
    pub denied_commit: Option<DeniedCommit>,
}

impl Settings {
    /// Reads the file and reports everything that is wrong with it.
    pub(super) fn parse(source: Source<'_>) -> Result<Self, Vec<Diagnostic>> {
        let settings: Self = parse_yaml(source).map_err(|diagnostic| vec![diagnostic])?;
        let diagnostics = settings.check(source);
        if diagnostics.is_empty() { Ok(settings) } else { Err(diagnostics) }
    }

    fn check(&self, source: Source<'_>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut level = |value: u8, near: &str, what: &str| {
            if value > MAX_LEVEL {
                let message = format!("{what} {value} is out of range");
                found.push(source.near(0, near, message, Some(format!("expected 0 to {MAX_LEVEL}"))));
            }
        };
        level(self.defaults.user.clearance, "clearance:", "clearance");
        self.users.iter().for_each(|user| level(user.clearance.unwrap_or(0), user.uri.as_str(), "clearance"));
        let of_directory = &self.directory.rules;
        of_directory.iter().for_each(|rule| level(rule.clearance.unwrap_or(0), "directory:", "clearance"));
        self.rules.iter().for_each(|rule| level(rule.clearance.unwrap_or(0), "rules:", "clearance"));
        let of_providers = self.providers.iter().map(|provider| (&provider.domain, &provider.users));
        of_providers.for_each(|(domain, given)| level(given.clearance.unwrap_or(0), domain.as_str(), "clearance"));
        self.rooms.iter().for_each(|room| level(room.classification, room.uri.as_str(), "classification"));
        let names = self.providers.iter().map(|provider| provider.domain.as_str());
        let names = names.chain(self.users.iter().map(|user| user.uri.as_str()));
        let mut seen = BTreeSet::new();
        for name in names.chain(self.rooms.iter().map(|room| room.uri.as_str())) {
            if !seen.insert(name) {
                let last = source.text.rfind(name).unwrap_or(0);
                let help = Some("keep one entry".to_owned());
                found.push(source.span(last, name.len(), format!("`{name}` is listed twice"), help));
            }
        }
        obligations::check_settings(&self.obligations, source, &mut found);
        let groups = self.providers.iter().flat_map(|provider| &provider.groups);
        let segments = self.users.iter().flat_map(|user| &user.segments);
        let segments = segments.chain(of_directory.iter().flat_map(|rule| &rule.segments));
        let segments = segments.chain(self.rules.iter().flat_map(|rule| &rule.segments));
        let segments = segments.chain(self.providers.iter().flat_map(|provider| &provider.users.segments));
        let labels = self.rooms.iter().flat_map(|room| &room.labels);
        let classes = self.obligations.rate_classes.iter().map(|class| &class.name);
        for (kind, names) in [
            ("group", groups.collect()),
            ("segment", segments.collect()),
            ("label", labels.collect()),
            ("rate class", classes.collect()),
            ("role", self.envelope.roles.keys().collect()),
        ] {
            let names: BTreeSet<&String> = names;
            let mut known: BTreeMap<String, &String> = BTreeMap::new();
            for name in names {
                let twin = known.insert(looks::skeleton(name), name).map(|twin| format!("looks like `{twin}`"));
                if let Some(flaw) = looks::flaw(name).map(str::to_owned).or(twin) {
                    let help = "expected names that people can tell apart".to_owned();
                    found.push(source.near(0, name, format!("name of the {kind} {flaw}"), Some(help)));
                }
            }
        }
        found
    }
}

/// Reads one YAML file of the bundle.
pub(super) fn parse_yaml<T: serde::de::DeserializeOwned>(source: Source<'_>) -> Result<T, Diagnostic> {
    yaml::parse(source.text).map_err(|error| source.yaml(error))
}

/// Settings made ready for look-up.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    pub(super) defaults: Defaults,
    follower: FollowerSettings,
    consent: ConsentSettings,
    search: SearchSettings,
    obligations: ObligationSettings,
    envelope: Envelope,
    rules: Arc<[UserRule]>,
    directory_rules: Arc<[DirectoryRule]>,
    providers: Arc<BTreeMap<Domain, ProviderSettings>>,
    users: Arc<BTreeMap<UserUri, UserSettings>>,
    rooms: Arc<BTreeMap<RoomUri, RoomSettings>>,
    /// Providers that are suspended beside those that the settings suspend.
    suspended: BTreeSet<Domain>,
    /// What the company's identity provider says.
    people: People,
}

impl Directory {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            defaults: settings.defaults,
            follower: settings.follower,
            consent: settings.consent,
            search: settings.search,
            obligations: settings.obligations,
            envelope: settings.envelope,
            rules: settings.rules.into(),
            directory_rules: settings.directory.rules.into(),
            providers: Arc::new(settings.providers.into_iter().map(|entry| (entry.domain.clone(), entry)).collect()),
            users: Arc::new(settings.users.into_iter().map(|entry| (entry.uri.clone(), entry)).collect()),
            rooms: Arc::new(settings.rooms.into_iter().map(|entry| (entry.uri.clone(), entry)).collect()),
            suspended: BTreeSet::new(),
            people: People::default(),
        }
    }

    pub(super) fn with_suspended(&self, suspended: BTreeSet<Domain>) -> Self {
        Self { suspended, ..self.clone() }
    }

    pub(super) fn suspended(&self) -> &BTreeSet<Domain> {
        &self.suspended
    }

    pub(super) fn with_people(&self, people: People) -> Self {
        Self { people, ..self.clone() }
    }

    /// The same, where everything is known of a user that there is to know.
    pub(super) fn with_sample(&self, user: &UserUri, said: Person) -> Self {
        let mut users = BTreeMap::clone(&self.users);
        let entry = UserSettings {
            uri: user.clone(),
            suspended: false,
            clearance: None,
            segments: BTreeSet::new(),
            employment: None,
            jurisdiction: Some("sample".to_owned()),
            managed: Some(true),
        };
        users.insert(user.clone(), entry);
        let people = Arc::new(HashMap::from([(user.clone(), said)]));
        Self { users: Arc::new(users), people, ..self.clone() }
    }

    pub(super) fn people(&self) -> &People {
        &self.people
    }

    /// What the company's identity provider says of a user, however it spells the name; `None` for one that it does not know.
    pub(super) fn person(&self, user: &UserUri) -> Option<&Person> {
        if self.people.is_empty() { None } else { self.people.get(&user.folded()) }
    }

    /// What follows from what it says.
    pub(super) fn directory_rules(&self) -> &[DirectoryRule] {
        &self.directory_rules
    }

    /// What holds for users by their identifiers.
    pub(super) fn rules(&self) -> &[UserRule] {
        &self.rules
    }

    /// Whether the provider is suspended, by the settings or beside them.
    pub(super) fn is_suspended(&self, domain: &Domain) -> bool {
        self.suspended.contains(domain) || self.provider(domain).is_some_and(|settings| settings.suspended)
    }

    pub(super) fn provider(&self, domain: &Domain) -> Option<&ProviderSettings> {
        self.providers.get(domain)
    }

    pub(super) fn user(&self, user: &UserUri) -> Option<&UserSettings> {
        self.users.get(user)
    }

    pub(super) fn room(&self, room: &RoomUri) -> Option<&RoomSettings> {
        self.rooms.get(room)
    }

    pub(super) fn search(&self) -> &SearchSettings {
        &self.search
    }

    pub(super) fn obligations(&self) -> &ObligationSettings {
        &self.obligations
    }

    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(super) fn implied_consent(&self) -> ImpliedConsent {
        self.consent.implied
    }

    pub(super) fn denied_commit(&self, room: &RoomUri) -> DeniedCommit {
        self.room(room).and_then(|room| room.denied_commit).unwrap_or(self.follower.denied_commit)
    }

    /// The names of provider groups, segments and labels that the settings give: the only ones a policy can match.
    pub(super) fn names(&self) -> Names<'_> {
        Names {
            groups: self.providers.values().flat_map(|entry| &entry.groups).map(String::as_str).collect(),
            segments: {
                let of_users = self.users.values().flat_map(|entry| &entry.segments);
                let of_rules = self.rules.iter().flat_map(|rule| &rule.segments);
                let of_directory = self.directory_rules.iter().flat_map(|rule| &rule.segments);
                let of_providers = self.providers.values().flat_map(|entry| &entry.users.segments);
                of_users.chain(of_rules).chain(of_directory).chain(of_providers).map(String::as_str).collect()
            },
            labels: self.rooms.values().flat_map(|entry| &entry.labels).map(String::as_str).collect(),
        }
    }
}

/// Names that the settings give.
pub(super) struct Names<'a> {
    pub(super) groups: BTreeSet<&'a str>,
    pub(super) segments: BTreeSet<&'a str>,
    pub(super) labels: BTreeSet<&'a str>,
}
