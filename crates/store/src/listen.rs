//! Wakes this process when another one committed something (PostgreSQL's LISTEN and NOTIFY).

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, NoTls, Socket};

use crate::changes::{Changes, Touched};
use crate::postgres::Address;
use crate::presence::announcement;

/// The channel; a payload is what [`Changes::announce`] gives.
pub(crate) const CHANNEL: &str = "portcullis";

/// How long until a lost connection is made again. Nothing is lost meanwhile, it is only noticed later.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until the runtime ends. `ready` is sent when it does; dropped when it cannot.
pub(crate) async fn listen(address: Address, changes: Arc<Changes>, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    loop {
        let ended = match &address.tls {
            Some(tls) => match address.config.connect(tls.clone()).await {
                Ok((client, connection)) => follow(client, connection, &changes, &mut ready).await,
                Err(error) => Err(error),
            },
            None => match address.config.connect(NoTls).await {
                Ok((client, connection)) => follow(client, connection, &changes, &mut ready).await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = ended {
            tracing::warn!(error = &error as &dyn std::error::Error, "connection that listens for changes was lost");
        }
        if ready.is_some() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow<S: AsyncRead + AsyncWrite + Unpin>(
    client: Client,
    mut connection: Connection<Socket, S>,
    changes: &Changes,
    ready: &mut Option<oneshot::Sender<()>>,
) -> Result<(), Error> {
    // One session tells that this process lives and hears what others do.
    let statement = format!("{}; LISTEN {CHANNEL}", announcement(&changes.process().to_string()));
    let mut subscribe = pin!(client.batch_execute(&statement));
    let mut subscribed = false;
    loop {
        tokio::select! {
            answer = &mut subscribe, if !subscribed => {
                answer?;
                subscribed = true;
                match ready.take() {
                    Some(first) => drop(first.send(())),
                    None => changes.signal(Touched::all()), // whatever happened meanwhile
                }
            }
            message = poll_fn(|cx| connection.poll_message(cx)) => match message {
                Some(Ok(AsyncMessage::Notification(told))) => changes.hear(told.payload()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
        }
    }
}
