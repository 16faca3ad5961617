use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::own_loopback;

/// A throwaway PostgreSQL server.
pub(crate) struct Cluster {
    folder: TempDir,
    url: String,
}

impl Cluster {
    /// One that may lose what it has said, because nothing here outlives it.
    pub(crate) fn start() -> Self {
        Self::with("-c fsync=off")
    }

    pub(crate) fn with(settings: &str) -> Self {
        let folder = TempDir::new().unwrap();
        if root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let host = own_loopback();
        let port = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().port();
        let data = folder.path().join("data");
        let mut make = as_postgres(&binaries().join("initdb"));
        run(make.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]));
        let options = format!(
            "-p {port} -c listen_addresses={host} -c unix_socket_directories={} {settings} -c max_connections=200",
            folder.path().display()
        );
        let mut control = as_postgres(&binaries().join("pg_ctl"));
        let log = folder.path().join("log");
        run(control.arg("-D").arg(&data).arg("-w").arg("-l").arg(&log).args(["-o", &options, "start"]));
        Self { url: format!("postgres://postgres@{host}:{port}/postgres"), folder }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server in the midst of whatever it does, until what this gives is dropped.
    pub(crate) fn freeze(&self) -> Frozen {
        let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap();
        let postmaster = file.lines().next().unwrap().trim().to_owned();
        let mut frozen = Frozen(vec![postmaster.clone()]);
        assert!(signal("STOP", &frozen.0));
        // From here on it has no more of them.
        let sessions = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
        frozen.0.extend(sessions.split_whitespace().map(str::to_owned));
        assert!(signal("STOP", &frozen.0));
        frozen
    }

    /// A transaction that has run these statements, and holds what they lock until it is dropped.
    pub(crate) fn session(&self, statements: &str) -> Session {
        let mut psql = Command::new(binaries().join("psql"));
        psql.args(["-qtA", "-v", "ON_ERROR_STOP=1"]).arg(&self.url).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut psql = psql.spawn().unwrap();
        writeln!(psql.stdin.as_mut().unwrap(), "BEGIN; {statements};\n\\echo they have run").unwrap();
        let mut said = BufReader::new(psql.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap() == "they have run"), "`{statements}` has failed");
        Session(psql)
    }
}

/// A server that answers nothing, and lets no connection break.
pub(crate) struct Frozen(Vec<String>);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = signal("CONT", &self.0);
    }
}

fn signal(name: &str, processes: &[String]) -> bool {
    Command::new("kill").args(["-s", name]).args(processes).status().unwrap().success()
}

/// A transaction that is open.
pub(crate) struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        // At the end of its input it ends, and the transaction with it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut control = as_postgres(&binaries().join("pg_ctl"));
        control.arg("-D").arg(self.folder.path().join("data")).args(["-m", "immediate", "stop"]);
        let _ = control.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// The number that a query gives.
pub(super) fn number(url: &str, query: &str) -> i64 {
    let output = Command::new(binaries().join("psql")).args([url, "-tAc", query]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn binaries() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").unwrap().map(|entry| entry.unwrap().path().join("bin"));
    installed.filter(|bin| bin.join("initdb").exists()).max().unwrap()
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(done.success(), "{command:?} failed");
}
