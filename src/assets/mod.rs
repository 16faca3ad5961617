//! Files of users, which stand at servers that are nobody's here: what may be fetched at all, fetching it, and keeping it for who
//! asks for the same (reading D-57). From which hosts, and for whom, is decided elsewhere.

mod cache;
mod download;
mod fetch;
mod oblivious;
mod places;
mod url;

pub use download::{Asked, Body, Download, FetchError, Fetched, WHOLE_BYTES};
pub use fetch::Fetcher;
pub use oblivious::{Answered, GatewayKey, Inside, NotForThisKey, Opened, SEED_BYTES, may_be_encapsulated, reads};
pub use places::{Place, Places};
pub use url::{AssetUrl, AssetUrlError};
