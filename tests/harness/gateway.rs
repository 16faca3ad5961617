use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use portcullis::config::Config;
use portcullis::member::Device;
use portcullis::peer::{Endpoint, PeerAnswer, PeerError, Peers};
use portcullis::provider::client::Client;
use portcullis::provider::token::{AUDIENCE, Grant, TokenKey};
use portcullis_core::wire::uri::{ClientUri, Domain, UserUri};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Database, eventually, portcullis};

/// One gateway, running or not.
pub(crate) struct Gateway {
    pub(crate) domain: Domain,
    further: Vec<Domain>,
    pub(crate) folder: PathBuf,
    pub(crate) federation: SocketAddr,
    pub(crate) provider: SocketAddr,
    child: Option<Child>,
}

impl Gateway {
    pub(super) fn new(domains: &[&str], folder: PathBuf, federation: SocketAddr, provider: SocketAddr) -> Self {
        let mut domains = domains.iter().map(|domain| Domain::parse(domain).unwrap());
        let domain = domains.next().unwrap();
        Self { domain, further: domains.collect(), folder, federation, provider, child: None }
    }

    pub(super) fn serves(&self, domain: &str) -> bool {
        self.further.iter().chain([&self.domain]).any(|it| it.as_str() == domain)
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.join("gateway.yaml")
    }

    pub(crate) fn config(&self) -> Config {
        Config::load(&self.config_file()).unwrap()
    }

    /// Adds a section to the configuration of a gateway that does not run.
    pub(crate) fn configure(&self, section: &str) {
        let mut file = OpenOptions::new().append(true).open(self.config_file()).unwrap();
        file.write_all(section.as_bytes()).unwrap();
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    pub(crate) fn start_with(&mut self, environment: &[(&str, &OsStr)]) {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut serve = portcullis();
        serve.arg("serve").arg("--config").arg(self.config_file()).stdin(Stdio::null());
        serve.stdout(File::create("/dev/null").unwrap()).stderr(log).envs(environment.iter().copied());
        self.child = Some(serve.spawn().unwrap());
    }

    /// Waits until both doors are open.
    pub(crate) async fn ready(&mut self) {
        let door = self.client_with(String::new());
        let (log, federation) = (self.log_file(), self.federation);
        let child = self.child.as_mut().unwrap();
        eventually("the doors open", async || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "it has ended:\n{}", std::fs::read_to_string(&log).unwrap());
            (door.openapi().await.is_ok() && TcpStream::connect(federation).await.is_ok()).then_some(())
        })
        .await;
    }

    pub(crate) async fn restart(&mut self) {
        self.start();
        self.ready().await;
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        eventually("the process ends", async || child.try_wait().unwrap()).await
    }

    /// The same for one that first waits for others, which may take so long.
    pub(crate) async fn ended_within(&mut self, patience: Duration) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        let ended = async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(patience, ended).await.unwrap_or_else(|_| panic!("it has not ended:\n{}", self.log()))
    }

    /// Waits until the process has ended at a failpoint.
    pub(crate) async fn crashed(&mut self) {
        const ABORTED: i32 = 6;
        assert_eq!(self.ended().await.signal(), Some(ABORTED));
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("gateway.log")
    }

    /// Runs a command of an operator on this gateway.
    pub(crate) fn operate(&self, arguments: &[&str]) -> Output {
        portcullis().args(arguments).arg("--config").arg(self.config_file()).output().unwrap()
    }

    /// The same for one that must go well; gives what it prints.
    pub(crate) fn operated(&self, arguments: &[&str]) -> String {
        let output = self.operate(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn token(&self, user: &UserUri) -> String {
        let pem = std::fs::read_to_string(self.folder.join("keys/token.key")).unwrap();
        let grant = Grant {
            subject: user.as_str(),
            audience: AUDIENCE,
            issuer: None,
            scope: "",
            roles: None,
            lifetime_seconds: 3600,
        };
        TokenKey::from_pem(&pem).unwrap().sign(&grant).unwrap()
    }

    /// The provider door, opened for a user.
    pub(crate) fn client(&self, user: &UserUri) -> Client {
        self.client_with(self.token(user))
    }

    pub(crate) fn client_with(&self, token: String) -> Client {
        Client::new(&format!("http://{}", self.provider), token).unwrap()
    }

    pub(crate) async fn device(&self, client: ClientUri) -> Device {
        let user = client.user().unwrap();
        Device::register(self.client(&user), client).await.unwrap()
    }

    pub(crate) fn database(&self) -> Database {
        Database::new(&self.config())
    }

    /// Sends to another provider in the name of this one, whether this gateway runs or not.
    pub(crate) async fn post(&self, to: &str, endpoint: Endpoint, body: Vec<u8>) -> Result<PeerAnswer, PeerError> {
        self.post_under(None, to, endpoint, body).await
    }

    /// The same under an idempotency key.
    pub(crate) async fn post_under(
        &self,
        key: Option<&str>,
        to: &str,
        endpoint: Endpoint,
        body: Vec<u8>,
    ) -> Result<PeerAnswer, PeerError> {
        let peers = Peers::new(&self.config()).unwrap();
        peers.post(&self.domain, &Domain::parse(to).unwrap(), endpoint, body.into(), key).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
