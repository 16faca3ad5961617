use std::sync::atomic::{AtomicU16, Ordering};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// What a committed job changed that somebody may be waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A lane of the outbox has something to send.
    Outbox,
    /// Audit records or stream rows wait for their positions: the sequencer has work.
    Staged,
    /// The audit log has grown.
    Audit,
    /// Streams of devices have grown.
    Streams,
    /// Somebody has decided how we stand with another provider.
    Peers,
    /// More is known of a room that another provider hosts.
    Followed,
    /// Another provider is to be told of consent.
    Letters,
    /// Another policy bundle decides.
    Policy,
    /// The company's identity provider says something else of people.
    People,
}

/// A set of topics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touched(u16);

impl Touched {
    pub(crate) fn add(&mut self, topic: Topic) {
        self.0 |= 1 << topic as u16;
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn all() -> Self {
        Self((1 << TOPICS.len()) - 1)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, topic: Topic) -> bool {
        self.0 & (1 << topic as u16) != 0
    }
}

/// Counters that move after a commit, one per topic.
pub(crate) struct Changes {
    process: Uuid,
    /// What other processes have not been told yet.
    untold: AtomicU16,
    telling: Notify,
    outbox: watch::Sender<u64>,
    staged: watch::Sender<u64>,
    audit: watch::Sender<u64>,
    streams: watch::Sender<u64>,
    peers: watch::Sender<u64>,
    followed: watch::Sender<u64>,
    letters: watch::Sender<u64>,
    policy: watch::Sender<u64>,
    people: watch::Sender<u64>,
}

pub(crate) const TOPICS: [Topic; 9] = [
    Topic::Outbox,
    Topic::Staged,
    Topic::Audit,
    Topic::Streams,
    Topic::Peers,
    Topic::Followed,
    Topic::Letters,
    Topic::Policy,
    Topic::People,
];

impl Changes {
    pub(crate) fn new() -> Self {
        let sender = || watch::Sender::new(0);
        Self {
            process: Uuid::now_v7(),
            untold: AtomicU16::new(0),
            telling: Notify::new(),
            outbox: sender(),
            staged: sender(),
            audit: sender(),
            streams: sender(),
            peers: sender(),
            followed: sender(),
            letters: sender(),
            policy: sender(),
            people: sender(),
        }
    }

    /// Names this process.
    pub(crate) fn process(&self) -> Uuid {
        self.process
    }

    pub(crate) fn of(&self, topic: Topic) -> &watch::Sender<u64> {
        match topic {
            Topic::Outbox => &self.outbox,
            Topic::Staged => &self.staged,
            Topic::Audit => &self.audit,
            Topic::Streams => &self.streams,
            Topic::Peers => &self.peers,
            Topic::Followed => &self.followed,
            Topic::Letters => &self.letters,
            Topic::Policy => &self.policy,
            Topic::People => &self.people,
        }
    }

    /// What other processes are told, if anything.
    pub(crate) fn announce(&self, touched: Touched) -> Option<String> {
        (!touched.is_empty()).then(|| format!("{} {}", self.process, touched.0))
    }

    /// Has other processes told of a commit soon, with what comes until then.
    pub(crate) fn tell(&self, touched: Touched) {
        self.untold.fetch_or(touched.0, Ordering::Relaxed);
        self.telling.notify_one();
    }

    /// Waits until there is something to tell, and takes it.
    pub(crate) async fn untold(&self) -> Touched {
        loop {
            let touched = Touched(self.untold.swap(0, Ordering::Relaxed));
            if !touched.is_empty() {
                return touched;
            }
            self.telling.notified().await;
        }
    }

    /// Takes what [`Self::announce`] of another process gave; what this one gave it knows already.
    pub(crate) fn hear(&self, announced: &str) {
        if let Some((process, touched)) = announced.split_once(' ')
            && process.parse() != Ok(self.process)
            && let Ok(touched) = touched.parse()
        {
            self.signal(Touched(touched));
        }
    }

    pub(crate) fn signal(&self, touched: Touched) {
        for topic in TOPICS.into_iter().filter(|topic| touched.has(*topic)) {
            self.of(topic).send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}
