use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// One throwaway PostgreSQL server for all tests of a run, with TLS switched on.
pub(crate) struct Cluster {
    pub(crate) port: u16,
    pub(crate) dir: PathBuf,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

impl Cluster {
    /// The server of this run. Test runners that give each test a process name their run, so that all share it.
    pub(crate) fn shared() -> &'static Self {
        CLUSTER.get_or_init(|| {
            let (run, owner) = match std::env::var("NEXTEST_RUN_ID") {
                Ok(run) => (run, std::os::unix::process::parent_id()),
                Err(_) => (std::process::id().to_string(), std::process::id()),
            };
            let dir = std::env::temp_dir().join(format!("portcullis-pg-{run}"));
            fs::create_dir_all(&dir).unwrap();
            let lock = OpenOptions::new().create(true).append(true).open(dir.join("lock")).unwrap();
            File::lock(&lock).unwrap();
            let port = dir.join("port");
            if !port.exists() {
                let chosen = start(&dir, owner);
                fs::write(&port, chosen.to_string()).unwrap();
            }
            Self { port: fs::read_to_string(port).unwrap().parse().unwrap(), dir }
        })
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The certificate that leads to the server's.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("server.crt")
    }
}

/// Starts a server in `dir` that ends soon after the process `owner` does.
fn start(dir: &Path, owner: u32) -> u16 {
    let bin = binaries();
    let data = dir.join("data");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    fs::write(dir.join("server.crt"), key.cert.pem()).unwrap();
    fs::write(dir.join("server.key"), key.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(dir.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    if root() {
        run(Command::new("chown").arg("-R").arg("postgres").arg(dir));
    }
    let data = data.to_str().unwrap();
    run(as_postgres(&bin.join("initdb"))
        .args(["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"])
        .args(["--locale=C.UTF-8", "--no-sync"]));
    let place = dir.to_str().unwrap();
    let options = format!(
        "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={place} -c fsync=off \
         -c synchronous_commit=off -c full_page_writes=off -c max_connections=400 -c shared_buffers=32MB \
         -c deadlock_timeout=20ms \
         -c ssl=on -c ssl_cert_file={place}/server.crt -c ssl_key_file={place}/server.key"
    );
    let log = dir.join("log");
    let control = bin.join("pg_ctl");
    run(as_postgres(&control).args(["-D", data, "-w", "-l", log.to_str().unwrap(), "-o", &options, "start"]));
    let stop = format!("{} -D {data} -m immediate stop", control.display());
    let stop = if root() { format!("runuser -u postgres -- {stop}") } else { stop };
    let janitor = format!("while kill -0 {owner} 2>/dev/null; do sleep 1; done; {stop}; rm -rf {place}");
    run(Command::new("setsid").args(["--fork", "sh", "-c", &janitor]));
    port
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
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL must be installed: the suite runs on both databases")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    installed.sort();
    installed.pop().expect("a PostgreSQL server must be installed")
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(done.success(), "{command:?} failed");
}
