use std::collections::BTreeSet;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{eventually, own_loopback};

/// The version that `scripts/setup test` installs.
const VERSION: &str = "0.0.1a15";

/// A collector as operators run it: <https://github.com/streamfold/rotel>.
pub(super) struct Rotel {
    folder: TempDir,
    http: SocketAddr,
    grpc: SocketAddr,
    starts: u32,
    child: Option<Child>,
}

impl Rotel {
    pub(super) async fn start() -> Self {
        let free = || TcpListener::bind((own_loopback(), 0)).unwrap();
        let (http, grpc) = (free(), free());
        let (http, grpc) = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
        let mut rotel = Self { folder: TempDir::new().unwrap(), http, grpc, starts: 0, child: None };
        rotel.restart().await;
        rotel
    }

    pub(super) async fn restart(&mut self) {
        self.starts += 1;
        let file = |name: &str| self.folder.path().join(format!("{name}{}", self.starts));
        let mut start = Command::new(binary());
        start.arg("start").args(["--exporter", "blackhole", "--debug-log", "logs"]);
        start.args(["--debug-log-verbosity", "detailed"]);
        start.args(["--otlp-http-endpoint", &self.http.to_string(), "--otlp-grpc-endpoint", &self.grpc.to_string()]);
        start.arg("--pid-file").arg(file("pid")).arg("--log-file").arg(file("own"));
        start.stdin(Stdio::null()).stdout(File::create(file("seen")).unwrap()).stderr(Stdio::null());
        let mut child = start.spawn().unwrap();
        eventually("the collector listens", async || {
            assert!(child.try_wait().unwrap().is_none(), "the collector has ended");
            TcpStream::connect(self.http).is_ok().then_some(())
        })
        .await;
        self.child = Some(child);
    }

    pub(super) fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Everything that it has printed, in all its lives.
    pub(super) fn seen(&self) -> String {
        let file = |start: u32| std::fs::read_to_string(self.folder.path().join(format!("seen{start}"))).unwrap();
        (1..=self.starts).map(file).collect()
    }

    /// Positions of the audit records it has printed.
    pub(super) fn positions(&self) -> BTreeSet<u64> {
        const ATTRIBUTE: &str = "portcullis.audit.seq: Int(";
        let position = |line: &str| line.split_once(ATTRIBUTE)?.1.split_once(')')?.0.parse().ok();
        self.seen().lines().filter_map(position).collect()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn binary() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    let binary = cache.join(format!("portcullis/rotel-{VERSION}/bin/rotel-agent"));
    assert!(binary.exists(), "THE COLLECTOR IS MISSING at {}: run `scripts/setup test`", binary.display());
    binary
}
