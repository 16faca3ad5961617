use std::collections::VecDeque;
use std::time::Duration;

use portcullis_core::wire::uri::ClientUri;
use reqwest::{Method, Response};

use super::sse::Parser;
use super::{Client, ClientError};
use crate::provider::Event;
use crate::provider::events::SUPERSEDED;

/// Wait before the stream is asked for again, doubled with each failure up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// An event and where it stands in the stream of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positioned {
    /// The position to continue after.
    pub position: u64,
    /// The event.
    pub event: Event,
}

/// The events of one device. A broken connection is made again from the last position.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    device: ClientUri,
    after: u64,
    connection: Option<(Response, Parser)>,
    ready: VecDeque<Positioned>,
    wait: Duration,
    superseded: bool,
}

impl EventStream {
    pub(super) fn new(client: Client, device: ClientUri, after: u64) -> Self {
        Self { client, device, after, connection: None, ready: VecDeque::new(), wait: FIRST_WAIT, superseded: false }
    }

    /// Position of the last event given; a new stream may continue from it.
    pub fn position(&self) -> u64 {
        self.after
    }

    /// The next event; waits until there is one. Dropping the wait loses nothing.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] when the gateway does not give the stream (a token that ended, a foreign device), and
    /// [`ClientError::Superseded`] when another stream of the device was opened; asked again, this one takes over.
    /// Connections that break and gateways that restart are waited for.
    pub async fn next(&mut self) -> Result<Positioned, ClientError> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                self.after = next.position;
                return Ok(next);
            }
            if std::mem::take(&mut self.superseded) {
                return Err(ClientError::Superseded);
            }
            match self.read().await {
                Ok(true) => self.wait = FIRST_WAIT,
                Ok(false) => self.pause().await,
                Err(ClientError::Http(_) | ClientError::Status(500..)) => self.pause().await,
                Err(ClientError::Refused(problem)) if problem.status >= 500 => self.pause().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once; false when the connection ended.
    async fn read(&mut self) -> Result<bool, ClientError> {
        if self.connection.is_none() {
            let request = self.client.request(Method::GET, &["devices", self.device.as_str(), "events"])?;
            let request = request.header("Last-Event-ID", self.after.to_string());
            self.connection = Some((self.client.call(request).await?, Parser::default()));
        }
        let Some((response, parser)) = &mut self.connection else { return Ok(false) };
        let Ok(Some(chunk)) = response.chunk().await else {
            self.connection = None;
            return Ok(false);
        };
        for frame in parser.push(&chunk) {
            if frame.event.as_deref() == Some(SUPERSEDED) {
                self.connection = None;
                self.superseded = true;
                break;
            }
            let position = frame.id.and_then(|id| id.parse().ok()).ok_or(ClientError::Event)?;
            let event = serde_json::from_str(&frame.data).map_err(|_| ClientError::Event)?;
            self.ready.push_back(Positioned { position, event });
        }
        Ok(true)
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }
}
