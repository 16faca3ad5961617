use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What stands before replicas: hands each connection to the next of them that takes it.
pub(crate) struct Balancer(JoinHandle<()>);

impl Balancer {
    pub(crate) async fn open(at: SocketAddr, replicas: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let (replicas, turn) = (Arc::new(replicas), Arc::new(AtomicUsize::new(0)));
        Self(tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let (replicas, turn) = (Arc::clone(&replicas), turn.fetch_add(1, Ordering::Relaxed));
                tokio::spawn(async move {
                    for number in 0..replicas.len() {
                        let address = replicas[(turn + number) % replicas.len()];
                        if let Ok(mut replica) = TcpStream::connect(address).await {
                            // One that dies takes its connections with it.
                            let _ = copy_bidirectional(&mut caller, &mut replica).await;
                            return;
                        }
                    }
                });
            }
        }))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
