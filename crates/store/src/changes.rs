use tokio::sync::watch;

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
}

/// A set of topics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touched(u8);

impl Touched {
    pub(crate) fn add(&mut self, topic: Topic) {
        self.0 |= 1 << topic as u8;
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn has(self, topic: Topic) -> bool {
        self.0 & (1 << topic as u8) != 0
    }
}

/// Counters that move after a commit, one per topic.
pub(crate) struct Changes {
    outbox: watch::Sender<u64>,
    staged: watch::Sender<u64>,
    audit: watch::Sender<u64>,
    streams: watch::Sender<u64>,
}

pub(crate) const TOPICS: [Topic; 4] = [Topic::Outbox, Topic::Staged, Topic::Audit, Topic::Streams];

impl Changes {
    pub(crate) fn new() -> Self {
        let sender = || watch::Sender::new(0);
        Self { outbox: sender(), staged: sender(), audit: sender(), streams: sender() }
    }

    pub(crate) fn of(&self, topic: Topic) -> &watch::Sender<u64> {
        match topic {
            Topic::Outbox => &self.outbox,
            Topic::Staged => &self.staged,
            Topic::Audit => &self.audit,
            Topic::Streams => &self.streams,
        }
    }

    pub(crate) fn signal(&self, touched: Touched) {
        for topic in TOPICS.into_iter().filter(|topic| touched.has(*topic)) {
            self.of(topic).send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}
