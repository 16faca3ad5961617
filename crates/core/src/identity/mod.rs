//! Stage `identity`: who speaks. A peer by its certificate and `From`, a client by its credential.

pub mod certificate;
pub mod credential;
pub(crate) mod x509;
