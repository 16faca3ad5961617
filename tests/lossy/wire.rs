use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is done to a piece of what goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It comes later.
    Delay,
    /// It never comes, and nothing after it.
    Drop,
    /// It comes twice.
    Duplicate,
    /// It comes, and both ends of the connection are gone before what follows.
    Cut,
    /// It comes, and nothing more does in this direction.
    HalfClose,
}

pub(super) const FAULTS: [Fault; 5] = [Fault::Delay, Fault::Drop, Fault::Duplicate, Fault::Cut, Fault::HalfClose];

/// One in so many pieces is delayed.
const DELAYED: u64 = 8;
/// One in so many pieces meets with something worse.
const BROKEN: u64 = 40;
/// How long a lost piece is waited for, before the connection is given up.
const LOST: Duration = Duration::from_millis(50);

/// A wire between two places: whatever connects at one end is connected to the other, and meets with faults by chance, the same
/// ones for the same seed and the same pieces.
pub(super) struct Wire {
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    to: SocketAddr,
    /// Whether anything goes wrong.
    calm: AtomicBool,
    chance: AtomicU64,
    met: [AtomicUsize; FAULTS.len()],
    pieces: AtomicUsize,
}

impl Wire {
    pub(super) async fn lay(from: SocketAddr, to: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind(from).await.unwrap();
        let state = Arc::new(State {
            to,
            calm: AtomicBool::new(true),
            chance: AtomicU64::new(seed),
            met: Default::default(),
            pieces: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).connect(near));
            }
        });
        Self { state, task }
    }

    /// From now on nothing goes wrong, or it does.
    pub(super) fn calm(&self, calm: bool) {
        self.state.calm.store(calm, Ordering::SeqCst);
    }

    /// How often each fault was met, in the order of [`FAULTS`].
    pub(super) fn met(&self) -> [usize; FAULTS.len()] {
        self.state.met.each_ref().map(|met| met.load(Ordering::SeqCst))
    }

    /// How many pieces have gone over it.
    pub(super) fn pieces(&self) -> usize {
        self.state.pieces.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    async fn connect(self: Arc<Self>, near: TcpStream) {
        let Ok(far) = TcpStream::connect(self.to).await else { return };
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let (cut, gone) = watch::channel(false);
        let cut = Arc::new(cut);
        let there = Arc::clone(&self).carry(near_in, far_out, Arc::clone(&cut), gone.clone());
        tokio::join!(there, self.carry(far_in, near_out, cut, gone));
    }

    /// Carries pieces one way, until that way is closed or the connection cut.
    async fn carry(
        self: Arc<Self>,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        cut: Arc<watch::Sender<bool>>,
        mut gone: watch::Receiver<bool>,
    ) {
        let mut piece = vec![0; 8 << 10];
        loop {
            let read = tokio::select! {
                _ = gone.wait_for(|gone| *gone) => return,
                read = from.read(&mut piece) => read,
            };
            let Ok(length) = read else { break };
            if length == 0 {
                let _ = to.shutdown().await;
                return;
            }
            self.pieces.fetch_add(1, Ordering::SeqCst);
            let piece = &piece[..length];
            match self.fault() {
                None => {
                    if to.write_all(piece).await.is_err() {
                        break;
                    }
                }
                Some(Fault::Delay) => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    if to.write_all(piece).await.is_err() {
                        break;
                    }
                }
                Some(Fault::Drop) => {
                    tokio::time::sleep(LOST).await;
                    break;
                }
                Some(Fault::Duplicate) => {
                    if to.write_all(piece).await.is_err() || to.write_all(piece).await.is_err() {
                        break;
                    }
                }
                Some(Fault::Cut) => {
                    let _ = to.write_all(piece).await;
                    break;
                }
                Some(Fault::HalfClose) => {
                    let _ = to.write_all(piece).await;
                    let _ = to.shutdown().await;
                    // What still comes is taken, and goes nowhere.
                    let mut nowhere = vec![0; 8 << 10];
                    loop {
                        tokio::select! {
                            _ = gone.wait_for(|gone| *gone) => return,
                            read = from.read(&mut nowhere) => if !matches!(read, Ok(1..)) { return },
                            () = tokio::time::sleep(20 * LOST) => break,
                        }
                    }
                    break;
                }
            }
        }
        let _ = cut.send(true);
    }

    fn fault(&self) -> Option<Fault> {
        if self.calm.load(Ordering::SeqCst) {
            return None;
        }
        let drawn = mixed(self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst));
        let fault = match (drawn % BROKEN, drawn % DELAYED) {
            (0, _) => FAULTS[1 + usize::try_from((drawn >> 32) % 4).unwrap()],
            (_, 0) => Fault::Delay,
            _ => return None,
        };
        let which = FAULTS.iter().position(|it| *it == fault).unwrap();
        self.met[which].fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }
}

/// SplitMix64.
fn mixed(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
