//! Components: what stands in the app_data_dictionary of the GroupContext (draft-ietf-mls-extensions), one file each.
//! All but the participant list and the join links are replaced as a whole when they are updated.

mod assets;
mod base;
mod bots;
mod capability;
mod dictionary;
mod expiration;
mod franking_agent;
mod history;
mod id;
mod join_links;
mod link_preview;
mod lists;
mod logging;
mod media_type;
mod metadata;
mod operational;
mod optionality;
mod participants;
mod preauth;
mod roles;
mod status_notification;

pub use assets::{AssetDomains, AssetPolicy, AssetUploadLocation, DownloadPrivacy, DownloadType};
pub use base::BaseRoomPolicy;
pub use bots::{Bot, BotPolicy};
pub use capability::Capability;
pub use dictionary::{Component, Dictionary};
pub use expiration::{ExpirationLimits, MessageExpirationPolicy};
pub use franking_agent::FrankingAgent;
pub use history::{HistoryPolicy, HistorySharing};
pub use id::ComponentId;
pub use join_links::{JoinLinkPolicy, JoinLinks, JoinLinksUpdate};
pub use link_preview::{LinkPreviewPolicy, Proxies};
pub use lists::{AppComponents, ContentMediaTypes, SafeAadComponents};
pub use logging::{Logging, LoggingPolicy};
pub use media_type::{ApplicationFraming, MediaType, MediaTypeParameter};
pub use metadata::{RichDescription, RoomMetadata};
pub use operational::{
    AppMessagePolicy, ExtendedCapabilities, MinDefaultMaxTime, OperationalParameters, PendingProposalPolicy,
};
pub use optionality::{Conditional, Optionality};
pub use participants::{Participant, ParticipantList, ParticipantListUpdate, RoleChange};
pub use preauth::{Claim, PreauthEntry, PreauthList};
pub use roles::{AuthorizedRoleChange, Role, RolesList};
pub use status_notification::StatusNotificationPolicy;
