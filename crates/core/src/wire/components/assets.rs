//! asset_policy: where files go and how large they may be (draft-ietf-mimi-room-policy).

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{codec, wire};

use super::{Component, ComponentId, MediaType};

/// `AssetPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetPolicy {
    /// Where files are uploaded.
    pub upload_location: AssetUploadLocation,
    /// The domains that each provider uploads to.
    pub upload_domains: Vec<AssetDomains>,
    /// How files are downloaded.
    pub download_privacy: DownloadPrivacy,
    /// Largest image, in octets.
    pub max_image_bytes: u64,
    /// Largest audio file, in octets.
    pub max_audio_bytes: u64,
    /// Largest video file, in octets.
    pub max_video_bytes: u64,
    /// Largest other file, in octets.
    pub max_attachment_bytes: u64,
    /// Media types that may not be sent.
    pub forbidden_media_types: Vec<MediaType>,
    /// The only media types that may be sent; `None` is any that is not forbidden.
    pub permitted_media_types: Option<Vec<MediaType>>,
}

/// Where files are uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum AssetUploadLocation {
    /// Anywhere.
    Unspecified = 0,
    /// At the uploader's provider.
    LocalProvider = 1,
    /// At the hub.
    Hub = 2,
}

/// `ProviderAssetUploadDomains`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetDomains {
    /// The provider's domain name.
    #[tls_codec(with = "codec::text")]
    pub provider: String,
    /// The domain names of its files.
    #[tls_codec(with = "codec::texts")]
    pub destinations: Vec<String>,
}

/// How files may be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadPrivacy {
    /// Ways that are allowed.
    pub allowed: Vec<DownloadType>,
    /// Ways that are forbidden.
    pub forbidden: Vec<DownloadType>,
    /// The way to take where nothing else is asked for.
    pub default: DownloadType,
}

/// A way to download a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum DownloadType {
    /// From its server.
    Direct = 0,
    /// Through the hub.
    HubProxy = 1,
    /// By Oblivious HTTP.
    Ohttp = 2,
}

impl Component for AssetPolicy {
    const ID: ComponentId = ComponentId::ASSET_POLICY;
}

wire!(AssetPolicy);
