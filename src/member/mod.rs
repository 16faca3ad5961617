//! A device: a real MLS client that speaks through a gateway's provider door, as an app of the company's users does.

mod answer;
mod device;
mod error;
mod events;

pub use answer::{Accepted, Refused, Sent};
pub use device::{Device, KEY_PACKAGE_LIFETIME};
pub use error::DeviceError;
