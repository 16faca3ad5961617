//! The tree of a group as `RatchetTreeOption` carries it, written from where the group has it: openmls exports a tree by
//! copying it.

use openmls::treesync::TreeSync;
use tls_codec::{Error, Serialize as _, VLByteSlice};

/// Kinds of nodes, and whether there is one (RFC 9420, sections 7.8 and 2.1.1).
const LEAF: u8 = 1;
const PARENT: u8 = 2;
const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// `optional<Node> ratchet_tree<V>` (RFC 9420, section 12.4.3.3): leaves and parents in turn, without the blank nodes at
/// the end. It takes about `capacity` octets.
pub(super) fn encode(tree: &TreeSync, capacity: usize) -> Result<Vec<u8>, Error> {
    let mut nodes = Vec::with_capacity(capacity);
    let (mut leaves, mut parents) = (tree.full_leaves().peekable(), tree.full_parents().peekable());
    for number in 0_u32.. {
        match leaves.next_if(|(index, _)| index.u32() == number) {
            Some((_, leaf)) => {
                nodes.extend([PRESENT, LEAF]);
                leaf.tls_serialize(&mut nodes)?;
            }
            None => nodes.push(ABSENT),
        }
        if leaves.peek().is_none() {
            break; // right of the last leaf all is blank
        }
        match parents.next_if(|(index, _)| index.u32() == number) {
            Some((_, parent)) => {
                nodes.extend([PRESENT, PARENT]);
                parent.tls_serialize(&mut nodes)?;
            }
            None => nodes.push(ABSENT),
        }
    }
    VLByteSlice(&nodes).tls_serialize_detached()
}
