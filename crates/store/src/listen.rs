//! Wakes this process when another one committed something (PostgreSQL's LISTEN and NOTIFY).

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Connection, Error, NoTls, Socket};

use crate::changes::{Changes, Touched};
use crate::postgres::Address;
use crate::presence::announcement;

/// The channel; a payload is what [`Changes::announce`] gives.
pub(crate) const CHANNEL: &str = "portcullis";

/// How long until a lost connection is made again. Nothing is lost meanwhile, it is only noticed later.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the server may take over telling others before the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shortest time from telling others what was committed to telling them again.
const PACE: Duration = Duration::from_millis(5);

/// Listens until the runtime ends, and tells what [`Changes::tell`] was given. `ready` is sent when it does; dropped when
/// it cannot.
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
        sleep(PAUSE).await;
    }
}

async fn follow<S: AsyncRead + AsyncWrite + Unpin>(
    client: Client,
    connection: Connection<Socket, S>,
    changes: &Changes,
    ready: &mut Option<oneshot::Sender<()>>,
) -> Result<(), Error> {
    tokio::select! {
        ended = hear(connection, changes) => ended,
        ended = tell(client, changes, ready) => ended,
    }
}

async fn hear<S: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<Socket, S>,
    changes: &Changes,
) -> Result<(), Error> {
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notification(told) = message? {
            changes.hear(told.payload());
        }
    }
    Ok(())
}

/// One session says that this process lives, hears what others do and tells them what it does.
async fn tell(client: Client, changes: &Changes, ready: &mut Option<oneshot::Sender<()>>) -> Result<(), Error> {
    client.batch_execute(&format!("{}; LISTEN {CHANNEL}", announcement(&changes.process().to_string()))).await?;
    match ready.take() {
        Some(first) => drop(first.send(())),
        None => {
            // Whatever happened meanwhile, and what the connection that is gone did not get across.
            changes.signal(Touched::all());
            changes.tell(Touched::all());
        }
    }
    let notify = client.prepare("SELECT pg_notify($1, $2)").await?;
    loop {
        let touched = changes.untold().await;
        let announced = changes.announce(touched);
        match timeout(PATIENCE, client.execute(&notify, &[&CHANNEL, &announced])).await {
            Ok(told) => drop(told?),
            Err(_) => return Ok(()), // of a connection that is gone nobody may be told
        }
        sleep(PACE).await;
    }
}
