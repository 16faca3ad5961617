//! What is fuzzed: every decoder that meets bytes from outside, grouped into targets.
//!
//! A target reads the number of a decoder from its first byte and gives it the rest. No decoder may panic, hang or take
//! much memory; what it takes must encode to the same bytes. The same code runs under libFuzzer (`fuzz_targets/`) and,
//! over the corpus that is kept, in the tests of the gateway.

mod documents;
mod doors;
mod edits;
mod endpoints;
mod export;
mod federation;
mod gate;
mod identity;
mod log;
mod objects;
mod people;
mod records;
mod resumed;
mod rooms;
mod seeds;

pub use doors::misunderstood;
pub use federation::unasked;
pub use seeds::seeds;

/// One decoder with what must hold for what it takes.
#[derive(Clone, Copy)]
pub struct Decoder {
    /// What it decodes.
    pub name: &'static str,
    /// Panics when something that must hold does not. Says whether the bytes were taken.
    pub run: fn(&[u8]) -> bool,
}

/// Decoders that are fuzzed together.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of the binary in `fuzz_targets/` and of the folder in `corpus/`.
    pub name: &'static str,
    /// Their position is the first byte of an input.
    pub decoders: &'static [Decoder],
}

impl Target {
    /// Runs one input. Says whether a decoder took it.
    pub fn run(&self, input: &[u8]) -> bool {
        let Some((which, bytes)) = input.split_first() else { return false };
        self.decoders.get(usize::from(*which)).is_some_and(|decoder| (decoder.run)(bytes))
    }

    /// The input that gives `bytes` to the decoder called `name`; `None` where this target has no such decoder.
    pub fn input(&self, name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let position = self.decoders.iter().position(|decoder| decoder.name == name)?;
        Some([&[u8::try_from(position).ok()?], bytes].concat())
    }
}

/// Components of the GroupContext, and what changes them.
pub const COMPONENTS: Target = Target { name: "components", decoders: endpoints::COMPONENTS };
/// Bodies of the endpoints.
pub const ENDPOINTS: Target = Target { name: "endpoints", decoders: endpoints::BODIES };
/// MLS objects, KeyPackages and labelled cryptography.
pub const OBJECTS: Target = Target { name: "objects", decoders: objects::OBJECTS };
/// Identifiers, credentials, certificates, headers and message content.
pub const IDENTITY: Target = Target { name: "identity", decoders: identity::IDENTITY };
/// Files of a policy bundle.
pub const POLICY: Target = Target { name: "policy", decoders: documents::POLICY };
/// Whole groups: founding them, and restoring them from a snapshot.
pub const GROUPS: Target = Target { name: "groups", decoders: rooms::GROUPS };
/// Handshakes and fan-out before a real group and a real member.
pub const HANDSHAKES: Target = Target { name: "handshakes", decoders: rooms::HANDSHAKES };
/// Tokens, requests and configuration of the doors with bearer tokens.
pub const DOORS: Target = Target { name: "doors", decoders: doors::DOORS };
/// Requests of other providers at the federation door.
pub const FEDERATION: Target = Target { name: "federation", decoders: federation::FEDERATION };
/// Notes, checkpoints, proofs, tiles and leaves of transparency logs, and what is asked of ours.
pub const LOG: Target = Target { name: "log", decoders: log::LOG };
/// What was taken out of a log.
pub const EXPORT: Target = Target { name: "export", decoders: export::EXPORT };
/// What a database gives back, and what clients are answered.
pub const RECORDS: Target = Target { name: "records", decoders: records::RECORDS };

/// All targets.
pub const TARGETS: &[Target] =
    &[COMPONENTS, ENDPOINTS, OBJECTS, IDENTITY, POLICY, GROUPS, HANDSHAKES, DOORS, FEDERATION, LOG, EXPORT, RECORDS];
