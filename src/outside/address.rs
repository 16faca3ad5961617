//! Which addresses a host may have: public unicast ones (reading D-57). Few names are looked up at once, and none for long.

use std::collections::BTreeMap;
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::wire::uri::Domain;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Names that are looked up at once. One whose answer is waited for no longer counts until the system has given it up, for it
/// has a thread as long.
const LOOKUPS: usize = 16;
/// How long a name may take, the wait for its turn included.
const LOOKUP_TIME: Duration = Duration::from_secs(5);
/// Most addresses of a host that are tried.
const MOST_ADDRESSES: usize = 16;

/// Networks of IPv4 that are not public unicast, by the IANA registry of special-purpose addresses, and by its size in bits; with
/// 168.63.129.16, at which a cloud tells its machines what others must not know.
const NOT_PUBLIC: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Within 2000::/3, the only unicast that is given out: protocol assignments (with Teredo), documentation, 6to4. All that
/// holds an address of IPv4 otherwise, such as NAT64 and mapped addresses, is outside of it.
const NOT_PUBLIC_6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Why a host is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAddress {
    /// It has an address at which there is no public server.
    #[error("host has an address that is not public unicast")]
    NotPublic,
    /// It has none.
    #[error("host has no address")]
    Unknown,
    /// Its name takes too long.
    #[error("name of the host takes too long to look up")]
    TimedOut,
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let within =
                |(network, bits): &(Ipv4Addr, u32)| (address.to_bits() ^ network.to_bits()).leading_zeros() >= *bits;
            !NOT_PUBLIC.iter().any(within)
        }
        IpAddr::V6(address) => {
            let within =
                |(network, bits): &(Ipv6Addr, u32)| (address.to_bits() ^ network.to_bits()).leading_zeros() >= *bits;
            address.segments()[0] & 0xe000 == 0x2000 && !NOT_PUBLIC_6.iter().any(within)
        }
    }
}

/// Looks names up, and gives only what may be connected to: the client connects to no other address, so that no second look
/// finds another one.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Where hosts are said to be.
    connect: BTreeMap<Domain, SocketAddr>,
    turns: Arc<Semaphore>,
}

impl Lookup {
    pub(super) fn new(connect: BTreeMap<Domain, SocketAddr>) -> Self {
        Self { connect, turns: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        // What is no plain name, such as one with a dot at its end, which is another one to whoever compares, is nobody's.
        let Ok(host) = Domain::parse(name.as_str()) else { return Box::pin(ready(Err(NoAddress::Unknown.into()))) };
        if let Some(address) = self.connect.get(&host).copied() {
            let addresses: Addrs = Box::new(std::iter::once(address));
            return Box::pin(ready(Ok(addresses)));
        }
        let turns = Arc::clone(&self.turns);
        Box::pin(async move {
            // The dot keeps the system from trying the name within domains of its own.
            let asked = format!("{host}.");
            let look_up = async move || tokio::net::lookup_host((asked, 0)).await.map(Iterator::collect::<Vec<_>>);
            let found = in_turn(turns, LOOKUP_TIME, look_up).await?;
            let addresses: Addrs = Box::new(checked(found)?.into_iter());
            Ok(addresses)
        })
    }
}

/// Looks up when it has its turn, which it keeps until the system has answered, whoever waits for it.
async fn in_turn<L, F>(turns: Arc<Semaphore>, longest: Duration, look_up: L) -> Result<Vec<SocketAddr>, NoAddress>
where
    L: FnOnce() -> F + Send + 'static,
    F: Future<Output = std::io::Result<Vec<SocketAddr>>> + Send,
{
    let looked_up = async move {
        let turn = turns.acquire_owned().await.map_err(|_| NoAddress::TimedOut)?;
        let found = tokio::spawn(async move {
            let _turn = turn;
            look_up().await
        });
        found.await.ok().and_then(Result::ok).ok_or(NoAddress::Unknown)
    };
    timeout(longest, looked_up).await.map_err(|_| NoAddress::TimedOut)?
}

/// One that has both kinds is up to something: which of them is connected to would be its choice.
fn checked(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NoAddress> {
    match found.iter().all(|address| is_public(address.ip())) {
        _ if found.is_empty() => Err(NoAddress::Unknown),
        true => Ok(found.into_iter().take(MOST_ADDRESSES).collect()),
        false => Err(NoAddress::NotPublic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_unicast_addresses_are_connected_to() {
        for public in ["1.1.1.1", "8.8.8.8", "100.63.0.1", "172.32.0.1", "193.0.0.1", "2606:4700::1", "2a00:1450::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:1.1.1.1",
            "::ffff:127.0.0.1",
            "::1.1.1.1",
            "64:ff9b::1.1.1.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn a_host_with_any_address_that_is_not_public_is_not_connected_to_and_many_are_not_all_tried() {
        let at = |addresses: &[&str]| addresses.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 0)).collect();
        assert_eq!(checked(at(&["1.1.1.1", "127.0.0.1"])), Err(NoAddress::NotPublic));
        assert_eq!(checked(at(&["::1"])), Err(NoAddress::NotPublic));
        assert_eq!(checked(at(&[])), Err(NoAddress::Unknown));
        assert_eq!(checked(at(&["1.1.1.1", "2606:4700::1"])).unwrap().len(), 2);
        assert_eq!(checked(at(&["1.1.1.1"; 100])).unwrap().len(), MOST_ADDRESSES);
    }

    #[tokio::test]
    async fn a_host_that_is_said_to_be_somewhere_is_there_and_one_with_a_dot_at_its_end_is_nowhere() {
        let at: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let host = Domain::parse("files.a.example").unwrap();
        let lookup = Lookup::new(BTreeMap::from([(host, at)]));
        let found: Vec<SocketAddr> = lookup.resolve("files.a.example".parse().unwrap()).await.unwrap().collect();
        assert_eq!(found, [at]);
        for name in ["files.a.example.", "localhost", "localhost."] {
            let refused = lookup.resolve(name.parse().unwrap()).await.err().unwrap();
            assert_eq!(refused.downcast_ref::<NoAddress>(), Some(&NoAddress::Unknown), "{name}");
        }
    }

    #[tokio::test]
    async fn a_name_that_is_not_answered_is_given_up_and_keeps_its_turn_until_it_is() {
        let turns = Arc::new(Semaphore::new(1));
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        let slow = async move || answered.await.map(|()| Vec::new()).map_err(std::io::Error::other);
        let given_up = in_turn(Arc::clone(&turns), Duration::ZERO, slow);
        assert_eq!(given_up.await, Err(NoAddress::TimedOut));
        tokio::task::yield_now().await;
        let one: SocketAddr = "1.1.1.1:0".parse().unwrap();
        let other = in_turn(Arc::clone(&turns), Duration::ZERO, async move || Ok(vec![one]));
        assert_eq!(other.await, Err(NoAddress::TimedOut), "the only turn is taken");
        answer.send(()).unwrap();
        let later = in_turn(turns, Duration::from_secs(60), async move || Ok(vec![one]));
        assert_eq!(later.await, Ok(vec![one]));
    }
}
