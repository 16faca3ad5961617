//! What waits for the answers of a connection to PostgreSQL, and reads and writes its socket meanwhile: no other thread
//! stands between a caller and the server. So a connection rests while nobody asks it anything.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

use diesel_async::async_connection_wrapper::BlockOn;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    /// The driver of the connection that this thread is making: its wrapper asks for one by its type alone.
    static OFFERED: RefCell<Option<Driver>> = const { RefCell::new(None) };
}

/// A runtime without threads.
#[derive(Clone)]
pub(crate) struct Driver(Arc<Kept>);

struct Kept(Option<Runtime>);

impl Driver {
    /// # Errors
    ///
    /// Those of the operating system.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(Kept(Some(Builder::new_current_thread().enable_all().build()?)))))
    }

    /// Lets `wrap` make a wrapper that blocks on this driver.
    pub(crate) fn offer<T>(&self, wrap: impl FnOnce() -> T) -> T {
        OFFERED.set(Some(self.clone()));
        wrap()
    }
}

impl BlockOn for Driver {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.0.0 {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("it is taken only where it is dropped"),
        }
    }

    fn get_runtime() -> Self {
        match OFFERED.take() {
            Some(driver) => driver,
            None => unreachable!("connections are made by whoever offers a driver"),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background(); // a connection may go inside another runtime, where waiting panics
        }
    }
}
