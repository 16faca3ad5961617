//! A real log in a real database, exported to a small collector that answers as it is told.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::Mutex;

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{AuditRecord, Filter, Outcome, sequence_async};
use portcullis_store::{Options, Store, Tx};
use prost::Message as _;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::{ExportError, Exporter, Step, list, sequencer};
use crate::gateway::Clock;

/// What the collector answers next; it accepts when nothing is left.
enum Told {
    Partial(i64),
    Status(u16),
    Nonsense,
}

#[derive(Default)]
struct Collector {
    told: Mutex<VecDeque<Told>>,
    requests: Mutex<Vec<Vec<LogRecord>>>,
    came: Notify,
}

async fn logs(collector: Data<Collector>, body: Bytes) -> HttpResponse {
    let request = ExportLogsServiceRequest::decode(body).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    collector.requests.lock().unwrap().push(scopes.flat_map(|scope| scope.log_records).collect());
    collector.came.notify_one();
    let answer =
        |partial_success| HttpResponse::Ok().body(ExportLogsServiceResponse { partial_success }.encode_to_vec());
    match collector.told.lock().unwrap().pop_front() {
        None => answer(None),
        Some(Told::Partial(rejected_log_records)) => {
            answer(Some(ExportLogsPartialSuccess { rejected_log_records, error_message: "no".to_owned() }))
        }
        Some(Told::Status(status)) => HttpResponse::build(status.try_into().unwrap()).finish(),
        Some(Told::Nonsense) => HttpResponse::Ok().body("hello"),
    }
}

struct World {
    _dir: TempDir,
    store: Store,
    clock: Clock,
    collector: Data<Collector>,
    url: String,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("test.db").display()), &Options::default());
        let collector = Data::new(Collector::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = collector.clone();
        let app = move || App::new().app_data(shared.clone()).route("/v1/logs", web::post().to(logs));
        actix_web::rt::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
        Self { _dir: dir, store: store.unwrap(), clock: Clock::default(), collector, url }
    }

    fn exporter(&self) -> Exporter {
        let domain = Domain::parse("a.example").unwrap();
        Exporter::new(self.store.clone(), self.clock.clone(), &self.url, &domain).unwrap()
    }

    fn record(&self, outcome: Outcome) -> AuditRecord {
        AuditRecord::new(Uuid::now_v7(), self.clock.now(), "decision.commit", outcome)
    }

    async fn stage(&self, records: Vec<AuditRecord>) {
        let stage = move |tx: &mut Tx<'_>| records.iter().try_for_each(|record| tx.stage(record));
        self.store.write_async("room", stage).await.unwrap();
    }

    /// Stages records and gives them their positions.
    async fn append(&self, records: Vec<AuditRecord>) {
        self.stage(records).await;
        sequence_async(&self.store, 1000, self.clock.now()).await.unwrap();
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
async fn what_is_not_taken_as_a_whole_is_sent_again_as_a_whole() {
    let world = World::new().await;
    world.append(vec![world.record(Outcome::Allow), world.record(Outcome::Allow)]).await;
    for told in [Told::Partial(1), Told::Status(503), Told::Status(400), Told::Nonsense] {
        world.tell(told);
    }
    assert!(matches!(world.exporter().step().await, Err(ExportError::Partial { rejected: 1, .. })));
    assert!(matches!(world.exporter().step().await, Err(ExportError::Status { status: 503, .. })));
    assert!(matches!(world.exporter().step().await, Err(ExportError::Status { status: 400, .. })));
    assert!(matches!(world.exporter().step().await, Err(ExportError::Answer(_))));
    assert!(matches!(world.exporter().step().await, Ok(Step::Delivered(_))));
    let received = world.received();
    assert_eq!((received.len(), received.iter().filter(|request| **request == world.log()).count()), (5, 5));
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
