use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::BlockOn as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StoreError;
use crate::changes::Changes;
use crate::conn::{Conn, Kind, Link};
use crate::driver::Driver;
use crate::listen::listen;

/// Longest wait for a server to take a connection.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);

/// How long a server may say nothing, not even that it has received something.
const SILENCE: Duration = Duration::from_secs(30);

/// Where a PostgreSQL server is, and how to talk to it.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) config: Config,
    pub(crate) tls: Option<MakeRustlsConnect>,
}

/// A PostgreSQL server, and the runtime of the connection that listens to it.
pub(crate) struct Postgres {
    address: Address,
    runtime: Option<Runtime>,
}

impl Postgres {
    /// Reads `postgres://…`. With `sslmode=require` the server's certificate is checked against `roots`; with
    /// `prefer`, the default, TLS is used when there are roots to check it with.
    pub(crate) fn new(url: &str, roots: Option<&Path>) -> Result<Self, StoreError> {
        let config = patient(url.parse().map_err(open)?);
        let tls = match (config.get_ssl_mode(), roots) {
            (SslMode::Disable, _) => None,
            (SslMode::Require, None) => {
                return Err(StoreError::Open("`sslmode=require` needs the root certificates of the server".into()));
            }
            (_, Some(roots)) => Some(MakeRustlsConnect::new(client_config(roots)?)),
            (_, None) => None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("store-io")
            .enable_all()
            .build()
            .map_err(open)?;
        Ok(Self { address: Address { config, tls }, runtime: Some(runtime) })
    }

    /// Lets `changes` move with the commits of other processes, too.
    pub(crate) fn listen(&self, changes: &Arc<Changes>) -> Result<(), StoreError> {
        let runtime = self.runtime.as_ref().ok_or(StoreError::Closed)?;
        let (ready, listening) = oneshot::channel();
        runtime.spawn(listen(self.address.clone(), Arc::clone(changes), ready));
        runtime.block_on(listening).map_err(open)
    }

    pub(crate) fn connect(&self) -> Result<Conn, StoreError> {
        let driver = Driver::new().map_err(open)?;
        let conn = driver.block_on(async {
            let conn = match &self.address.tls {
                Some(tls) => {
                    let (client, rest) = self.address.config.connect(tls.clone()).await.map_err(open)?;
                    AsyncPgConnection::try_from_client_and_connection(client, rest).await
                }
                None => {
                    let (client, rest) = self.address.config.connect(NoTls).await.map_err(open)?;
                    AsyncPgConnection::try_from_client_and_connection(client, rest).await
                }
            };
            conn.map_err(open)
        })?;
        Ok(Conn::new(Kind::Postgres(Link::new(conn, driver))))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background(); // the last handle may go inside another runtime, where waiting panics
        }
    }
}

/// Gives up on a server that is silent, where the address does not say otherwise: without that the kernel does, after a
/// quarter of an hour.
fn patient(mut config: Config) -> Config {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECTS_WITHIN);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
    if config.get_keepalives_idle() > SILENCE {
        config.keepalives_idle(SILENCE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(SILENCE / 3);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(3);
    }
    config
}

fn client_config(roots: &Path) -> Result<ClientConfig, StoreError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots).map_err(open)? {
        store.add(certificate.map_err(open)?).map_err(open)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(open)?;
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

fn open(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Open(error.into())
}
