//! The instruments. No label holds a room, a user or a policy: whoever wants to know reads the audit log.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use opentelemetry::{KeyValue, global};

use super::SERVICE;

/// What is counted or measured. `docs/telemetry.md` lists all of them with their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Its name.
    pub name: &'static str,
    /// Its unit (UCUM).
    pub unit: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

const fn instrument(name: &'static str, unit: &'static str, meaning: &'static str) -> Instrument {
    Instrument { name, unit, meaning }
}

const REQUESTS: Instrument = instrument("http.server.request.duration", "s", "how long requests took");
const DECISIONS: Instrument = instrument("portcullis.decisions", "{decision}", "decisions made");
const DECIDING: Instrument = instrument("portcullis.decision.duration", "s", "how long policy took to decide");
const DELIVERIES: Instrument = instrument("portcullis.delivery.duration", "s", "how long deliveries to peers took");
const EXPORTED: Instrument = instrument("portcullis.export.records", "{record}", "audit records sent to the collector");
const STREAMS: Instrument = instrument("portcullis.streams.open", "{stream}", "event streams that are open");
const KEY_PACKAGES: Instrument = instrument("portcullis.key_packages", "{key_package}", "KeyPackages asked for");
const LOADS: Instrument = instrument("portcullis.policy.loads", "{load}", "readings of the policy bundle");
const REJOINS: Instrument =
    instrument("portcullis.rooms.rejoins", "{client}", "clients that came back into a group after losing its state");
const BREAK_GLASS: Instrument =
    instrument("portcullis.policy.break_glass", "{rollback}", "rollbacks of policies from the host");
const HELD_BACK: Instrument =
    instrument("portcullis.policy.held_back", "{message}", "messages refused because of a rate class");
const FAILED: Instrument =
    instrument("portcullis.policy.failed", "{question}", "questions denied because a policy failed");
const SHADOWED: Instrument =
    instrument("portcullis.policy.shadowed", "{question}", "questions that a shadow of the policies was asked");
const UNREADABLE: Instrument =
    instrument("portcullis.directory.unreadable", "{user}", "users of whom nothing could be read: they have no rights");
const DOWNLOADS: Instrument = instrument("portcullis.assets.downloads", "{download}", "files asked for at other hosts");
const ASSET_BYTES: Instrument = instrument("portcullis.assets.bytes", "By", "bytes of files read from other hosts");
const PROBES: Instrument =
    instrument("portcullis.addresses.asked", "{domain}", "domains asked whose addresses they have");
pub(super) const OWED: Instrument = instrument("portcullis.outbox.owed", "{message}", "messages owed to peers");
pub(super) const PARKED: Instrument = instrument("portcullis.outbox.parked", "{lane}", "lanes that wait for a person");
pub(super) const LETTERS: Instrument =
    instrument("portcullis.letters.parked", "{letter}", "letters about consent that wait for a person");
pub(super) const OWED_COMMITS: Instrument =
    instrument("portcullis.moderation.owed", "{restriction}", "restrictions that wait for a commit");
pub(super) const OVERDUE: Instrument =
    instrument("portcullis.moderation.overdue", "{restriction}", "restrictions whose commit is too long in coming");
pub(super) const STAGED: Instrument = instrument("portcullis.audit.staged", "{record}", "records without a position");
pub(super) const STREAM_ROWS: Instrument =
    instrument("portcullis.streams.staged", "{row}", "rows of event streams without a position");
pub(super) const LAG: Instrument =
    instrument("portcullis.export.lag", "{record}", "records the collector has not taken");
pub(super) const DEAD: Instrument =
    instrument("portcullis.export.dead_letters", "{record}", "records the collector refused for good");
pub(super) const WAITING: Instrument =
    instrument("portcullis.store.waiting", "{job}", "jobs that wait for a write lane");
pub(super) const BUSY: Instrument = instrument("portcullis.store.busy", "{job}", "jobs refused by a full write lane");

/// All of them.
pub const INSTRUMENTS: [Instrument; 28] = [
    REQUESTS,
    DECISIONS,
    DECIDING,
    DELIVERIES,
    EXPORTED,
    STREAMS,
    KEY_PACKAGES,
    LOADS,
    REJOINS,
    BREAK_GLASS,
    HELD_BACK,
    SHADOWED,
    FAILED,
    UNREADABLE,
    DOWNLOADS,
    ASSET_BYTES,
    PROBES,
    OWED,
    PARKED,
    LETTERS,
    OWED_COMMITS,
    OVERDUE,
    STAGED,
    STREAM_ROWS,
    LAG,
    DEAD,
    WAITING,
    BUSY,
];

/// Upper bounds in seconds for what a network is part of.
const EXCHANGES: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds in seconds for what is computed.
const COMPUTATIONS: [f64; 10] = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1];

/// Made at the first use, which must come after [`super::start`].
static METERS: LazyLock<Meters> = LazyLock::new(|| Meters::new(&global::meter(SERVICE)));

struct Meters {
    requests: Histogram<f64>,
    decisions: Counter<u64>,
    deciding: Histogram<f64>,
    deliveries: Histogram<f64>,
    exported: Counter<u64>,
    streams: UpDownCounter<i64>,
    key_packages: Counter<u64>,
    loads: Counter<u64>,
    rejoins: Counter<u64>,
    break_glass: Counter<u64>,
    held_back: Counter<u64>,
    shadowed: Counter<u64>,
    failed: Counter<u64>,
    unreadable: Counter<u64>,
    downloads: Counter<u64>,
    asset_bytes: Counter<u64>,
    probes: Counter<u64>,
}

impl Meters {
    fn new(meter: &Meter) -> Self {
        let counter =
            |it: Instrument| meter.u64_counter(it.name).with_unit(it.unit).with_description(it.meaning).build();
        let histogram = |it: Instrument, bounds: &[f64]| {
            let histogram = meter.f64_histogram(it.name).with_unit(it.unit).with_description(it.meaning);
            histogram.with_boundaries(bounds.to_vec()).build()
        };
        // There may never be one: that is told, too.
        let rejoins = counter(REJOINS);
        rejoins.add(0, &[]);
        let failed = counter(FAILED);
        failed.add(0, &[]);
        let unreadable = counter(UNREADABLE);
        unreadable.add(0, &[]);
        let (downloads, asset_bytes, probes) = (counter(DOWNLOADS), counter(ASSET_BYTES), counter(PROBES));
        for silent in [&downloads, &asset_bytes, &probes] {
            silent.add(0, &[]);
        }
        let streams = meter.i64_up_down_counter(STREAMS.name).with_unit(STREAMS.unit);
        Self {
            requests: histogram(REQUESTS, &EXCHANGES),
            decisions: counter(DECISIONS),
            deciding: histogram(DECIDING, &COMPUTATIONS),
            deliveries: histogram(DELIVERIES, &EXCHANGES),
            exported: counter(EXPORTED),
            streams: streams.with_description(STREAMS.meaning).build(),
            key_packages: counter(KEY_PACKAGES),
            loads: counter(LOADS),
            rejoins,
            break_glass: counter(BREAK_GLASS),
            held_back: counter(HELD_BACK),
            shadowed: counter(SHADOWED),
            failed,
            unreadable,
            downloads,
            asset_bytes,
            probes,
        }
    }
}

/// A request was answered. `route` is its pattern.
pub(super) fn request(door: &'static str, method: &str, route: &str, status: u16, took: Duration) {
    let labels = [
        KeyValue::new("portcullis.door", door),
        KeyValue::new("http.request.method", method.to_owned()),
        KeyValue::new("http.route", route.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(status)),
    ];
    METERS.requests.record(took.as_secs_f64(), &labels);
}

/// A decision fell; one that is made again because the room moved on meanwhile counts again. `reason` is a code.
pub fn decided(kind: &'static str, outcome: &'static str, reason: &str) {
    let labels = [
        KeyValue::new("portcullis.kind", kind),
        KeyValue::new("portcullis.outcome", outcome),
        KeyValue::new("portcullis.reason", reason.to_owned()),
    ];
    METERS.decisions.add(1, &labels);
}

/// Policy took so long for a decision, with all its questions.
pub fn deciding_took(kind: &'static str, took: Duration) {
    METERS.deciding.record(took.as_secs_f64(), &[KeyValue::new("portcullis.kind", kind)]);
}

/// A batch was posted to a peer. `outcome` is `delivered`, `postponed`, `refused` or `parked`.
pub fn delivery(peer: &str, outcome: &'static str, took: Duration) {
    let labels = [KeyValue::new("portcullis.peer", peer.to_owned()), KeyValue::new("portcullis.outcome", outcome)];
    METERS.deliveries.record(took.as_secs_f64(), &labels);
}

/// Audit records went to the collector. `outcome` is `delivered`, `failed`, `refused` or `given_up`.
pub fn exported(outcome: &'static str, records: usize) {
    METERS.exported.add(records as u64, &[KeyValue::new("portcullis.outcome", outcome)]);
}

/// An event stream that is open while this lives.
#[must_use = "the stream counts as closed when this is dropped"]
pub struct OpenStream(());

impl OpenStream {
    /// Counts a stream.
    pub fn new() -> Self {
        METERS.streams.add(1, &[]);
        Self(())
    }
}

impl Default for OpenStream {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        METERS.streams.add(-1, &[]);
    }
}

/// A KeyPackage of a device was asked for. `outcome` is `claimed`, `exhausted` or `incompatible`.
pub fn key_package(outcome: &'static str) {
    METERS.key_packages.add(1, &[KeyValue::new("portcullis.outcome", outcome)]);
}

/// A client that was in a group came back into it from outside, for it had lost its state.
pub fn rejoined() {
    METERS.rejoins.add(1, &[]);
}

/// The bundle was read. `outcome` is `good` or `bad`.
pub fn policy_load(outcome: &'static str) {
    METERS.loads.add(1, &[KeyValue::new("portcullis.outcome", outcome)]);
}

/// So many rollbacks of policies from the host, past the admin door, have been followed.
pub fn policy_break_glass(count: u64) {
    METERS.break_glass.add(count, &[]);
}

/// So many messages were refused because their sender has used up what its rate class leaves it.
pub fn held_back(count: u64) {
    METERS.held_back.add(count, &[]);
}

/// Nothing could be read of so many users.
pub fn people_unreadable(count: u64) {
    METERS.unreadable.add(count, &[]);
}

/// A question was denied because a policy failed.
pub fn policy_failed(kind: &'static str) {
    METERS.failed.add(1, &[KeyValue::new("portcullis.kind", kind)]);
}

/// A shadow of the policies was asked so many questions. `outcome` is `same`, `newly_allowed`, `newly_denied`, `by_others` or
/// `not_replayable`.
pub fn shadowed(outcome: &'static str, count: u64) {
    METERS.shadowed.add(count, &[KeyValue::new("portcullis.outcome", outcome)]);
}

/// A file was asked for. `outcome` is `fetched`, `from_memory`, `unchanged`, `elsewhere`, `busy`, `missing`, `later`, `too_large`,
/// `timed_out` or `failed`.
pub fn download(outcome: &'static str) {
    METERS.downloads.add(1, &[KeyValue::new("portcullis.outcome", outcome)]);
}

/// So many bytes of a file came.
pub fn downloaded(bytes: u64) {
    METERS.asset_bytes.add(bytes, &[]);
}

/// A domain was asked whose addresses it has. `outcome` is `resolved`, `no_provider`, `no_peer` or `silent`.
pub fn probed(outcome: &'static str) {
    METERS.probes.add(1, &[KeyValue::new("portcullis.outcome", outcome)]);
}
