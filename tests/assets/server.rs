use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::time::sleep;
use actix_web::web::{Bytes, Data, to};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use futures_util::stream;
use portcullis::peer::DIRECTORY_PATH;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the files hold.
pub(crate) fn file() -> Vec<u8> {
    (0..200_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect()
}

/// Bytes of the longest file.
pub(crate) const LONG: u64 = 96 << 20;

/// A server of files, over TLS.
pub(crate) struct Files {
    state: Data<State>,
    pub(crate) address: SocketAddr,
    server: ServerHandle,
}

/// What a host says of itself as a provider.
#[derive(Clone)]
pub(crate) enum Directory {
    /// That its directory is there.
    At(String),
    /// This.
    Text(&'static str),
}

#[derive(Default)]
struct State {
    /// The heads of the requests for each path.
    asked: Mutex<BTreeMap<String, Vec<BTreeMap<String, String>>>>,
    /// Bytes of the longest file that have been made.
    made: AtomicU64,
    /// What each host says when it is asked whose addresses it has.
    said: Mutex<BTreeMap<String, Directory>>,
}

impl Files {
    /// Shows this certificate with its key.
    pub(crate) fn start(pem: &str) -> Self {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        let tls = ServerConfig::builder_with_provider(default_provider().into());
        let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let tls = tls.with_single_cert(chain, key).unwrap();
        let state = Data::new(State::default());
        // The addresses of gateways are theirs: they bind their ports later.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = state.clone();
        let app = move || App::new().app_data(shared.clone()).default_service(to(serve));
        let (started, server) = mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let server = HttpServer::new(app).workers(1).shutdown_timeout(0).disable_signals();
                let server = server.listen_rustls_0_23(listener, tls).unwrap().run();
                started.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Self { state, address, server: server.recv().unwrap() }
    }

    /// Has a host say whose addresses it has.
    pub(crate) fn say(&self, host: &str, what: Directory) {
        self.state.said.lock().unwrap().insert(host.to_owned(), what);
    }

    /// How often a path was asked for.
    pub(crate) fn times(&self, path: &str) -> usize {
        self.heads(path).len()
    }

    /// What stood in the requests for a path.
    pub(crate) fn heads(&self, path: &str) -> Vec<BTreeMap<String, String>> {
        self.state.asked.lock().unwrap().get(path).cloned().unwrap_or_default()
    }

    /// How much of the longest file has been made.
    pub(crate) fn made(&self) -> u64 {
        self.state.made.load(Ordering::SeqCst)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

fn directory(said: Option<&Directory>) -> HttpResponse {
    match said {
        Some(Directory::At(url)) => HttpResponse::Found().insert_header(("location", url.as_str())).finish(),
        Some(Directory::Text(text)) => HttpResponse::Ok().body(*text),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn serve(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let said = request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let said: BTreeMap<String, String> = said.collect();
    let path = request.path().to_owned();
    state.asked.lock().unwrap().entry(path.clone()).or_default().push(said.clone());
    let mut answer = HttpResponse::Ok();
    answer.content_type("image/png").insert_header(("set-cookie", "a=b")).insert_header(("x-of-the-server", "1"));
    let pieces = |bytes: usize, count: u64| {
        let state = state.clone();
        stream::unfold((0, state), move |(number, state)| async move {
            state.made.fetch_add(bytes as u64, Ordering::SeqCst);
            let piece = Ok::<_, std::io::Error>(Bytes::from(vec![7; bytes]));
            (number < count).then_some((piece, (number + 1, state)))
        })
    };
    match path.as_str() {
        "/file" => {
            answer.insert_header(("cache-control", "public, max-age=600")).insert_header(("etag", "\"1\""));
            answer.insert_header(("expires", "Sun, 06 Nov 2094 08:49:37 GMT"));
            answer.insert_header(("date", "Sun, 06 Nov 1994 08:49:37 GMT")).body(file())
        }
        "/without-a-tag" | "/another-tag" if said.contains_key("if-none-match") => {
            let mut unchanged = HttpResponse::NotModified();
            if path == "/another-tag" {
                unchanged.insert_header(("etag", "\"8\""));
            }
            unchanged.finish()
        }
        "/without-a-tag" | "/another-tag" => {
            answer.insert_header(("cache-control", "no-cache")).insert_header(("etag", "\"7\"")).body(file())
        }
        "/always-unchanged" => HttpResponse::NotModified().finish(),
        "/always-a-part" => HttpResponse::PartialContent().body("a part"),
        "/always-beyond" => HttpResponse::RangeNotSatisfiable().finish(),
        "/dated" => {
            let at = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
            answer.insert_header(("cache-control", "public, max-age=600")).insert_header(at).body(file())
        }
        "/slowly-round" => {
            sleep(Duration::from_millis(700)).await;
            HttpResponse::Found().insert_header(("location", "/slowly-round")).finish()
        }
        DIRECTORY_PATH => directory(state.said.lock().unwrap().get(request.connection_info().host())),
        "/private" => answer.insert_header(("cache-control", "private, max-age=600")).body(file()),
        "/no-store" => answer.insert_header(("cache-control", "no-store")).body(file()),
        "/asked-again" => {
            answer.insert_header(("cache-control", "no-cache")).insert_header(("etag", "\"7\""));
            if said.get("if-none-match").is_some_and(|known| known == "\"7\"") {
                return HttpResponse::NotModified().insert_header(("etag", "\"7\"")).finish();
            }
            answer.body(file())
        }
        "/in-parts" => match said.get("range").map(String::as_str) {
            Some("bytes=10-19") => HttpResponse::PartialContent()
                .insert_header(("content-range", "bytes 10-19/200000"))
                .body(file()[10..20].to_vec()),
            Some(_) => HttpResponse::RangeNotSatisfiable().insert_header(("content-range", "bytes */200000")).finish(),
            None => answer.insert_header(("cache-control", "no-store")).body(file()),
        },
        "/round" => HttpResponse::Found().insert_header(("location", "/round")).finish(),
        // So long, and it says so; and one that does not.
        "/too-large" => answer.body(vec![0; (2 << 20) + 1]),
        "/endless" => answer.streaming(pieces(64 << 10, u64::MAX)),
        "/long" => answer.streaming(pieces(64 << 10, LONG / (64 << 10))),
        "/never" => answer.streaming(stream::pending::<Result<Bytes, std::io::Error>>()),
        "/broken-off" => answer.no_chunking(1000).streaming(pieces(100, 3)),
        "/later" => HttpResponse::TooManyRequests().insert_header(("retry-after", "7")).finish(),
        "/fails" => HttpResponse::InternalServerError().finish(),
        "/to" => HttpResponse::Found().insert_header(("location", request.query_string())).finish(),
        _ => HttpResponse::NotFound().body("not here"),
    }
}
