//! A real log in a real database, exported to a small collector that answers as it is told.

use std::collections::{BTreeSet, VecDeque};
use std::io::Read as _;
use std::net::TcpListener;
use std::sync::Mutex;
use std::time::Duration;

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use aws_lc_rs::signature::Ed25519KeyPair;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection as _, connection::SimpleConnection as _};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{AuditRecord, Filter, Outcome, checkpoints};
use portcullis_store::sinks::{self, DeadLetter};
use portcullis_store::{Options, Store, StoreError, Tx};
use portcullis_tlog::Signer;
use prost::Message as _;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::{ExportError, Exporter, SINK, Step, checkpoint, list, sequencer};
use crate::gateway::Clock;
use crate::gateway::exports::{Letters, redeliver};
use crate::telemetry::Collector as Destination;

/// What the collector answers next; it accepts what it does not dislike when nothing is left.
enum Told {
    Partial(i64),
    Status(u16),
    RetryAfter(u16, &'static str),
    Nonsense,
    Redirect,
}

#[derive(Default)]
struct Collector {
    told: Mutex<VecDeque<Told>>,
    requests: Mutex<Vec<Vec<LogRecord>>>,
    /// Positions of records that it never takes, with the status it says so.
    dislikes: Mutex<(BTreeSet<i64>, u16)>,
    /// The status that it gives to everything.
    broken: Mutex<Option<u16>>,
    /// Most records that it takes at once.
    most: Mutex<Option<usize>>,
    came: Notify,
}

async fn logs(collector: Data<Collector>, body: Bytes) -> HttpResponse {
    let mut unzipped = Vec::new();
    GzDecoder::new(&*body).read_to_end(&mut unzipped).unwrap();
    let request = ExportLogsServiceRequest::decode(&*unzipped).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    let records: Vec<LogRecord> = scopes.flat_map(|scope| scope.log_records).collect();
    let answer =
        |partial_success| HttpResponse::Ok().body(ExportLogsServiceResponse { partial_success }.encode_to_vec());
    let partial = |rejected_log_records| {
        answer(Some(ExportLogsPartialSuccess { rejected_log_records, error_message: "too odd".to_owned() }))
    };
    let status = |status: u16| HttpResponse::build(status.try_into().unwrap());
    let (disliked, with) = &*collector.dislikes.lock().unwrap();
    let disliked = records.iter().filter(|record| disliked.contains(&seq(record))).count();
    let oversize = collector.most.lock().unwrap().is_some_and(|most| records.len() > most);
    collector.requests.lock().unwrap().push(records);
    collector.came.notify_one();
    if let Some(code) = *collector.broken.lock().unwrap() {
        return status(code).finish();
    }
    match collector.told.lock().unwrap().pop_front() {
        None if oversize => status(413).finish(),
        None if disliked > 0 && *with == 200 => partial(i64::try_from(disliked).unwrap()),
        None if disliked > 0 => status(*with).body("too odd"),
        None => answer(None),
        Some(Told::Partial(rejected)) => partial(rejected),
        Some(Told::Status(code)) => status(code).finish(),
        Some(Told::RetryAfter(code, seconds)) => status(code).insert_header(("retry-after", seconds)).finish(),
        Some(Told::Nonsense) => HttpResponse::Ok().body("hello"),
        Some(Told::Redirect) => status(307).insert_header(("location", "/v1/logs")).finish(),
    }
}

struct World {
    _dir: TempDir,
    database: String,
    store: Store,
    clock: Clock,
    collector: Data<Collector>,
    url: String,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", dir.path().join("test.db").display());
        let store = Store::open(&database, &Options::default());
        let collector = Data::new(Collector::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = collector.clone();
        let app = move || App::new().app_data(shared.clone()).route("/v1/logs", web::post().to(logs));
        actix_web::rt::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
        Self { _dir: dir, database, store: store.unwrap(), clock: Clock::default(), collector, url }
    }

    fn exporter(&self) -> Exporter {
        self.exporter_on(&self.store)
    }

    fn exporter_on(&self, store: &Store) -> Exporter {
        let domain = Domain::parse("a.example").unwrap();
        Exporter::new(store.clone(), self.clock.clone(), &Destination::at(&self.url), &domain).unwrap()
    }

    /// The same database as another process sees it.
    fn other_process(&self) -> Store {
        Store::open(&self.database, &Options::default()).unwrap()
    }

    /// Appends so many records.
    async fn append_many(&self, count: usize) {
        self.append((0..count).map(|_| self.record(Outcome::Allow)).collect()).await;
    }

    fn dislike(&self, positions: &[i64], status: u16) {
        *self.collector.dislikes.lock().unwrap() = (positions.iter().copied().collect(), status);
    }

    /// Steps until nothing is left, and gives what was done.
    async fn export_all(&self) -> Vec<Step> {
        let mut exporter = self.exporter();
        let mut steps = Vec::new();
        loop {
            match exporter.step().await.unwrap() {
                Step::Idle => return steps,
                step => steps.push(step),
            }
        }
    }

    fn cursor(&self) -> u64 {
        self.store.read(|conn| sinks::cursor(conn, SINK)).unwrap()
    }

    fn dead_letters(&self) -> Vec<DeadLetter> {
        self.store.read(|conn| sinks::dead_letters(conn, SINK, 0, 100)).unwrap()
    }

    /// Kinds of all entries of the log.
    fn kinds(&self) -> Vec<String> {
        let shown = list(&self.store, Filter { limit: 1000, ..Filter::default() }).unwrap();
        shown.into_iter().map(|entry| entry.kind).collect()
    }

    fn record(&self, outcome: Outcome) -> AuditRecord {
        AuditRecord::new(Uuid::now_v7(), self.clock.now(), "decision.commit", outcome)
    }

    async fn append(&self, records: Vec<AuditRecord>) {
        let stage = move |tx: &mut Tx<'_>| records.iter().try_for_each(|record| tx.stage(record));
        self.store.write_async("room", stage).await.unwrap();
    }

    /// Stages records for the sequencer, as if another process held the head of the log.
    async fn stage(&self, records: Vec<AuditRecord>) {
        self.sql("UPDATE heads SET name = 'held ' || name");
        self.append(records).await;
        self.sql("UPDATE heads SET name = replace(name, 'held ', '')");
    }

    fn sql(&self, statement: &str) {
        let path = self.database.strip_prefix("sqlite:").unwrap();
        SqliteConnection::establish(path).unwrap().batch_execute(statement).unwrap();
    }

    fn tell(&self, told: Told) {
        self.collector.told.lock().unwrap().push_back(told);
    }

    /// Sequence numbers in each request so far.
    fn received(&self) -> Vec<Vec<i64>> {
        let requests = self.collector.requests.lock().unwrap();
        requests.iter().map(|records| records.iter().map(seq).collect()).collect()
    }

    /// Positions of all entries of the log.
    fn log(&self) -> Vec<i64> {
        let shown = list(&self.store, Filter { limit: 1000, ..Filter::default() }).unwrap();
        shown.into_iter().map(|entry| i64::try_from(entry.seq).unwrap()).collect()
    }
}

fn attribute<'r>(record: &'r LogRecord, key: &str) -> Option<&'r Value> {
    record.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

fn seq(record: &LogRecord) -> i64 {
    match attribute(record, "portcullis.audit.seq") {
        Some(Value::IntValue(seq)) => *seq,
        other => panic!("{other:?}"),
    }
}

#[actix_web::test]
async fn every_entry_is_delivered_once_and_in_order_also_by_an_exporter_that_starts_anew() {
    let world = World::new().await;
    world.append(vec![world.record(Outcome::Allow), world.record(Outcome::Deny)]).await;
    assert!(matches!(world.exporter().step().await, Ok(Step::Delivered(_))));
    assert!(matches!(world.exporter().step().await, Ok(Step::Idle)));
    world.append(vec![world.record(Outcome::Allow)]).await;
    assert!(matches!(world.exporter().step().await, Ok(Step::Delivered(1))));
    let received = world.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received.concat(), world.log());
}

#[actix_web::test]
async fn a_collector_that_is_out_of_order_is_waited_for_and_nothing_is_passed_over() {
    let world = World::new().await;
    world.append_many(2).await;
    let mut exporter = world.exporter();
    for status in [401, 403, 404, 429, 500, 502, 503, 504] {
        world.tell(Told::Status(status));
        let refused = exporter.step().await;
        assert!(matches!(refused, Err(ExportError::Status { status: said, .. }) if said == status), "{refused:?}");
    }
    world.tell(Told::RetryAfter(503, "17"));
    let retry_after = Some(Duration::from_secs(17));
    assert!(matches!(exporter.step().await, Err(ExportError::Status { retry_after: said, .. }) if said == retry_after));
    world.tell(Told::Redirect);
    let redirected = exporter.step().await;
    assert!(matches!(redirected, Err(ExportError::Status { status: 307, .. })), "{redirected:?}");
    world.tell(Told::Nonsense);
    assert!(matches!(exporter.step().await, Err(ExportError::Answer(_))));
    assert_eq!(world.cursor(), 0);
    assert!(matches!(exporter.step().await, Ok(Step::Delivered(_))));
    assert!(world.received().iter().all(|request| *request == world.log()));
    assert_eq!(world.dead_letters(), []);
}

#[actix_web::test]
async fn a_record_that_is_refused_alone_is_a_dead_letter_and_all_others_are_delivered() {
    for status in [200, 400, 422] {
        let world = World::new().await;
        world.append_many(40).await;
        world.dislike(&[7, 23], status);
        let steps = world.export_all().await;
        let given_up: Vec<_> = steps.iter().filter(|step| matches!(step, Step::GaveUp(_))).collect();
        assert_eq!(given_up, [&Step::GaveUp(7), &Step::GaveUp(23)]);
        let letters = world.dead_letters();
        let said: Vec<_> = letters.iter().map(|it| (it.seq, it.http_status, it.reason.as_str())).collect();
        assert_eq!(said, [(7, status, "too odd"), (23, status, "too odd")]);
        let taken = |request: &&Vec<i64>| !request.contains(&7) && !request.contains(&23);
        let taken: BTreeSet<i64> = world.received().iter().filter(taken).flatten().copied().collect();
        let owed: BTreeSet<i64> = world.log().into_iter().filter(|seq| ![7, 23].contains(seq)).collect();
        assert_eq!(taken, owed);
        assert_eq!(world.kinds().iter().filter(|kind| *kind == "audit.export.rejected").count(), 2);
    }
}

#[actix_web::test]
async fn a_partial_success_does_not_count_and_the_same_records_go_out_again() {
    let world = World::new().await;
    world.append_many(2).await;
    world.tell(Told::Partial(1));
    let mut exporter = world.exporter();
    let all = world.log().len();
    assert_eq!(exporter.step().await.unwrap(), Step::Narrowed(all));
    assert_eq!(world.cursor(), 0);
    while exporter.step().await.unwrap() != Step::Idle {}
    assert_eq!(world.received()[1..].concat(), world.log());
    assert_eq!(world.dead_letters(), []);
}

#[actix_web::test]
async fn a_request_that_is_too_long_is_halved_until_it_is_taken() {
    let world = World::new().await;
    world.append_many(20).await;
    *world.collector.most.lock().unwrap() = Some(3);
    world.export_all().await;
    let taken: Vec<i64> = world.received().into_iter().filter(|request| request.len() <= 3).flatten().collect();
    assert_eq!(taken, world.log());
    assert_eq!(world.dead_letters(), []);
}

#[actix_web::test]
async fn a_collector_that_takes_nothing_any_more_is_waited_for_and_nothing_is_given_up() {
    for status in [200, 400, 413, 422] {
        let world = World::new().await;
        world.append_many(5).await;
        world.export_all().await;
        let before = world.cursor();
        world.append_many(5).await;
        world.dislike(&(0..1000).collect::<Vec<i64>>(), status);
        let mut exporter = world.exporter();
        for _ in 0..3 {
            let waited = loop {
                match exporter.step().await {
                    Ok(Step::Narrowed(_)) => {}
                    other => break other,
                }
            };
            assert!(matches!(waited, Err(ExportError::Refused { status: said, .. }) if said == status), "{waited:?}");
        }
        assert_eq!((world.cursor(), world.dead_letters()), (before, Vec::new()));
        world.dislike(&[], status);
        while exporter.step().await.unwrap() != Step::Idle {}
        assert_eq!(world.cursor(), u64::try_from(world.log().len()).unwrap());
        assert_eq!(world.dead_letters(), []);
    }
}

#[actix_web::test]
async fn records_that_nothing_was_taken_before_are_given_up_when_one_after_them_is_taken() {
    let world = World::new().await;
    world.append_many(5).await;
    world.dislike(&[0, 1], 400);
    let steps = world.export_all().await;
    let given_up: Vec<_> = steps.iter().filter(|step| matches!(step, Step::GaveUp(_))).collect();
    assert_eq!(given_up, [&Step::GaveUp(0), &Step::GaveUp(1)]);
}

#[actix_web::test]
async fn dead_letters_are_sent_again_when_a_person_wants_so_and_stay_where_they_are_refused_again() {
    let world = World::new().await;
    world.append_many(40).await;
    world.dislike(&[7, 23, 31], 200);
    world.export_all().await;
    world.dislike(&[23], 400);
    let now = world.clock.now();
    let wanted = |from, to| {
        let letters = Letters { sink: SINK.to_owned(), from, to: Some(to) };
        world.store.write_async("x", move |tx| redeliver(tx, &letters, "operator:dora", "CASE-7", now))
    };
    assert!(matches!(wanted(8, 22).await, Err(StoreError::Missing)));
    assert_eq!(wanted(0, 25).await.unwrap(), 2);
    let before = world.received().len();
    let steps = world.export_all().await;
    let log = world.log();
    let about_it = *log.last().unwrap();
    assert_eq!(steps, [Step::Delivered(1), Step::GaveUp(23), Step::Delivered(1)]);
    let sent = world.received().split_off(before);
    assert_eq!(sent, [vec![7], vec![23], vec![22], vec![about_it]]);
    let left: Vec<_> = world.dead_letters().iter().map(|letter| (letter.seq, letter.http_status)).collect();
    assert_eq!(left, [(23, 400), (31, 200)]);
    assert!(world.kinds().iter().any(|kind| kind == "audit.export.redeliver"));
}

#[actix_web::test]
async fn one_process_exports_at_a_time_and_another_goes_on_when_it_is_gone() {
    let world = World::new().await;
    let (other, third) = (world.other_process(), world.other_process());
    world.append_many(1).await;
    let mut first = world.exporter();
    assert!(matches!(first.step().await, Ok(Step::Delivered(_))));
    world.append_many(1).await;
    assert_eq!(world.exporter_on(&other).step().await.unwrap(), Step::Elsewhere);
    assert_eq!(world.received().len(), 1);
    world.clock.advance(Duration::from_secs(31));
    assert!(matches!(world.exporter_on(&other).step().await, Ok(Step::Delivered(_))));
    world.append_many(1).await;
    assert_eq!(first.step().await.unwrap(), Step::Elsewhere);
    assert_eq!(world.exporter_on(&third).step().await.unwrap(), Step::Elsewhere);
    assert_eq!(world.received().concat(), world.log()[..world.log().len() - 1]);
}

#[actix_web::test]
async fn an_exporter_that_is_told_to_stop_first_sends_what_stands_in_the_log_and_hands_over() {
    let world = World::new().await;
    world.append_many(600).await;
    let closing = watch::Sender::new(true);
    world.exporter().run(closing.subscribe()).await;
    assert_eq!(world.received().concat(), world.log());
    world.append_many(1).await;
    let other = world.other_process();
    assert!(matches!(world.exporter_on(&other).step().await, Ok(Step::Delivered(1))));
}

#[actix_web::test]
async fn a_request_is_bounded_in_records_and_in_bytes() {
    let world = World::new().await;
    world.append_many(300).await;
    let long = |_| AuditRecord { reason: "x".repeat(40_000), ..world.record(Outcome::Allow) };
    world.append((0..60).map(long).collect()).await;
    world.export_all().await;
    let requests = world.collector.requests.lock().unwrap();
    assert!(requests.iter().all(|records| records.len() <= 256));
    let bytes = |records: &Vec<LogRecord>| records.iter().map(prost::Message::encoded_len).sum::<usize>();
    assert!(requests.iter().map(bytes).all(|bytes| bytes <= 1024 * 1024));
    assert!(requests.len() >= 4);
}

#[actix_web::test]
async fn a_partial_success_without_rejections_is_a_success() {
    let world = World::new().await;
    world.append(vec![world.record(Outcome::Allow)]).await;
    world.tell(Told::Partial(0));
    assert!(matches!(world.exporter().step().await, Ok(Step::Delivered(_))));
}

#[actix_web::test]
async fn a_record_without_a_position_is_not_exported() {
    let world = World::new().await;
    world.stage(vec![world.record(Outcome::Allow)]).await;
    assert!(matches!(world.exporter().step().await, Ok(Step::Idle)));
}

#[actix_web::test]
async fn a_denial_is_a_warning_that_names_actor_policy_and_trace() {
    let world = World::new().await;
    let mut denied = world.record(Outcome::Deny);
    denied.actor = Some("mimi://a.example/u/alice".to_owned());
    denied.policy = vec!["company.suspended".to_owned()];
    denied.reason = "SUSPENDED".to_owned();
    denied.trace = Some("0af7651916cd43dd8448eb211c80319c".to_owned());
    let event = denied.event.to_string();
    world.append(vec![denied]).await;
    world.exporter().step().await.unwrap();
    let requests = world.collector.requests.lock().unwrap();
    let record = requests[0].iter().find(|record| record.event_name == "portcullis.decision.commit").unwrap();
    assert_eq!((record.severity_number, record.severity_text.as_str()), (13, "WARN"));
    assert_eq!(record.trace_id[..3], [0x0a, 0xf7, 0x65]);
    let text = |text: &str| Some(Value::StringValue(text.to_owned()));
    assert_eq!(attribute(record, "log.record.uid").cloned(), text(&event));
    assert_eq!(attribute(record, "user.id").cloned(), text("mimi://a.example/u/alice"));
    assert_eq!(attribute(record, "portcullis.reason").cloned(), text("SUSPENDED"));
    let Some(Value::ArrayValue(policies)) = attribute(record, "security_rule.name") else { panic!("no policies") };
    assert_eq!(policies.values[0].value, text("company.suspended"));
    assert_eq!(attribute(record, "portcullis.room"), None);
}

#[actix_web::test]
async fn a_running_exporter_sends_what_comes_and_stops_when_told() {
    let world = World::new().await;
    let closing = watch::Sender::new(false);
    let running = actix_web::rt::spawn(world.exporter().run(closing.subscribe()));
    world.append(vec![world.record(Outcome::Allow)]).await;
    world.collector.came.notified().await;
    closing.send_replace(true);
    running.await.unwrap();
    assert_eq!(world.received().concat(), world.log());
}

#[actix_web::test]
async fn the_sequencer_positions_what_is_staged_and_once_more_when_it_stops() {
    let world = World::new().await;
    let closing = watch::Sender::new(true);
    world.stage(vec![world.record(Outcome::Allow), world.record(Outcome::Deny)]).await;
    sequencer::run(&world.store, &world.clock, closing.subscribe()).await;
    let log = world.log();
    assert!(log.len() >= 2);
    assert_eq!(log, (0..).take(log.len()).collect::<Vec<i64>>());
}

#[actix_web::test]
async fn a_list_shows_only_what_was_asked_for() {
    let world = World::new().await;
    let denied = world.record(Outcome::Deny);
    let event = denied.event;
    world.append(vec![world.record(Outcome::Allow), denied]).await;
    let filter = Filter { limit: 10, outcome: Some(Outcome::Deny), ..Filter::default() };
    let shown = list(&world.store, filter).unwrap();
    assert_eq!(shown.iter().map(|entry| (entry.event, entry.outcome)).collect::<Vec<_>>(), [(event, "deny")]);
}

#[actix_web::test]
async fn a_log_that_does_not_begin_as_it_was_signed_is_not_signed_again() {
    let world = World::new().await;
    let sign = async || {
        let (store, clock) = (world.store.clone(), world.clock.clone());
        let work = move || {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
            checkpoint(&store, &clock, &Signer::new("a.example/audit".parse().unwrap(), pair))
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    };
    let signed = || world.store.read(|conn| checkpoints(conn, 0, 9)).unwrap().into_iter().map(|it| it.size);
    sign().await.unwrap();
    assert_eq!(signed().count(), 0);
    for size in [3, 4] {
        world.append_many(size).await;
        sign().await.unwrap();
        sign().await.unwrap();
    }
    let before: Vec<_> = signed().collect();
    assert_eq!(before.len(), 2);
    assert_eq!(*before.last().unwrap(), world.log().len() as u64);
    world.sql("UPDATE audit_entries SET leaf = (SELECT leaf FROM audit_entries WHERE seq = 1) WHERE seq = 2");
    world.append_many(1).await;
    assert!(matches!(sign().await, Err(StoreError::Corrupt(_))));
    assert_eq!(signed().collect::<Vec<_>>(), before);
}
