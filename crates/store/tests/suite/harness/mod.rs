mod cluster;
mod db;
mod fixtures;

pub(crate) use cluster::Cluster;
pub(crate) use db::{Db, hold};
pub(crate) use fixtures::*;

/// Runs a test on both databases.
macro_rules! on_both {
    ($($(#[$meta:meta])* fn $name:ident($db:ident) $body:block)*) => {
        $($(#[$meta])* mod $name {
            use super::*;

            fn check($db: &$crate::harness::Db) $body

            #[test]
            fn sqlite() {
                check(&$crate::harness::Db::sqlite());
            }

            #[test]
            fn postgres() {
                check(&$crate::harness::Db::postgres());
            }
        })*
    };
}
