use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::number;

/// Limits of each process; with several replicas a party may get as many times of it. Beyond them a request gets 429.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests of one peer at the federation door.
    pub peer: Rate,
    /// Requests for one user at the provider door.
    pub user: Rate,
    /// Requests of one person at the admin door.
    pub operator: Rate,
    /// Claims of one user's KeyPackages by one requester (reading D-21).
    pub claims: Rate,
    /// Claims of one user's KeyPackages by all requesters that one provider speaks for, our own users included
    /// (reading D-21).
    pub claims_by_provider: Rate,
    /// Steps of one user towards the consent of others, or to give its own (reading D-48).
    pub consents: Rate,
    /// Reports of abuse by one user, or by one provider for users who do not want to be named.
    pub reports: Rate,
    /// Reported messages that cannot be proven and are taken of one reporter in a day.
    pub unproven_per_day: NonZeroU32,
    /// Queries for users by one user of ours, or by one provider (reading D-49).
    pub searches: Rate,
    /// Downloads by one user of ours, or by one provider.
    pub downloads: Rate,
    /// How long a caller may take over its TLS handshake, and again over the head of a request, in seconds. The head of a
    /// further request of HTTP/1.1 has the five seconds more for which an idle connection is kept; a half-sent one of HTTP/2
    /// ends with its connection, after two and a half minutes of silence.
    pub head_seconds: NonZeroU32,
    /// How long a caller may take over the body of a request, in seconds.
    pub body_seconds: NonZeroU32,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many it regains a minute, evenly.
    pub per_minute: NonZeroU32,
    /// How many may come at once after a rest.
    pub burst: NonZeroU32,
}

impl Limits {
    /// [`Self::head_seconds`].
    pub fn head(&self) -> Duration {
        Duration::from_secs(self.head_seconds.get().into())
    }

    /// [`Self::body_seconds`].
    pub fn body(&self) -> Duration {
        Duration::from_secs(self.body_seconds.get().into())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peer: Rate { per_minute: number(60_000), burst: number(5_000) },
            user: Rate { per_minute: number(3_000), burst: number(500) },
            operator: Rate { per_minute: number(3_000), burst: number(500) },
            claims: Rate { per_minute: number(10), burst: number(20) },
            claims_by_provider: Rate { per_minute: number(30), burst: number(60) },
            consents: Rate { per_minute: number(20), burst: number(40) },
            reports: Rate { per_minute: number(10), burst: number(20) },
            unproven_per_day: number(100),
            searches: Rate { per_minute: number(60), burst: number(60) },
            downloads: Rate { per_minute: number(600), burst: number(300) },
            head_seconds: number(10),
            body_seconds: number(60),
        }
    }
}
