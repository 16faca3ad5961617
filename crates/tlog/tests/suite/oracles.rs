//! Two other implementations of the tree, and one of notes, come to the same bytes.

use std::sync::LazyLock;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use portcullis_tlog::{Hash, Note, Resource, Tile};
use proptest::prelude::*;
use sha2::Sha256;
use signed_note::{NoteError, StandardVerifier, VerifierList};

use super::{Log, leaf, signer};

/// Leaves of the tree that `tlog_tiles` has: enough for tiles of level 2.
const SIZE: u64 = 66_000;

/// The hashes that `tlog_tiles` keeps of a tree, and our tiles of the same tree.
struct Both {
    log: Log,
    stored: Vec<tlog_tiles::Hash>,
}

static BOTH: LazyLock<Both> = LazyLock::new(|| Both::of(SIZE));
static SMALL: LazyLock<Both> = LazyLock::new(|| Both::of(40));

impl Both {
    fn of(size: u64) -> Self {
        let mut both = Self { log: Log::of(size), stored: Vec::new() };
        for number in 0..size {
            let new = tlog_tiles::stored_hashes(number, &number.to_be_bytes(), &both).unwrap();
            both.stored.extend(new);
        }
        both
    }
}

impl tlog_tiles::HashReader for Both {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.stored[usize::try_from(*index).unwrap()]).collect())
    }
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn all_theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().copied().map(theirs).collect()
}

/// A size of 1 to [`SIZE`], often where something begins or ends.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![1..=SIZE, 1..=300_u64, 65_530..=65_540_u64, (1..=257_u64).prop_map(|tiles| tiles * 256)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn roots_and_proofs_are_those_of_tlog_tiles(size in size(), part in 0.0..1.0) {
        let both = &*BOTH;
        let index = (size as f64 * part) as u64;
        let mut prover = both.log.prover(size);
        let head = prover.head().unwrap();
        prop_assert_eq!(tlog_tiles::tree_hash(size, both).unwrap(), theirs(head.root));

        let path = prover.inclusion(index).unwrap();
        prop_assert_eq!(&tlog_tiles::prove_record(size, index, both).unwrap(), &all_theirs(&path));
        head.verify_inclusion(index, &leaf(index), &path).unwrap();

        let old = index + 1;
        let path = prover.consistency(old).unwrap();
        prop_assert_eq!(&tlog_tiles::prove_tree(size, old, both).unwrap(), &all_theirs(&path));
        head.verify_consistency(&both.log.prover(old).head().unwrap(), &path).unwrap();
    }

    #[test]
    fn tiles_and_their_paths_are_those_of_tlog_tiles(size in size(), part in 0.0..1.0) {
        let both = &*BOTH;
        let old = (size as f64 * part) as u64;
        let mut expected = tlog_tiles::Tile::new_tiles(8, old, size);
        expected.sort_by_key(|tile| (tile.level(), tile.level_index()));
        let ours: Vec<Tile> = Tile::between(old, size).collect();
        prop_assert_eq!(ours.len(), expected.len());
        for (tile, other) in ours.into_iter().zip(expected) {
            let bytes = both.log.read(tile).unwrap();
            prop_assert_eq!(&other.read_data(both).unwrap(), &bytes[..usize::from(tile.width) * Hash::BYTES]);
            // Their paths say the height as well.
            prop_assert_eq!(other.path().replacen("tile/8/", "tile/", 1), Resource::Tile(tile).to_string());
        }
    }

    #[test]
    fn a_proof_is_good_here_where_it_is_good_there(
        size in 1..=40_u64,
        index in 0..40_u64,
        // Which hash to leave out, put twice, or change; often none.
        change in prop::option::of((0..8_usize, 0..3)),
        other_size in 1..=40_u64,
    ) {
        let both = &*SMALL;
        let mut path = both.log.prover(size).inclusion(index % size).unwrap();
        if let Some((at, how)) = change && at < path.len() {
            match how {
                0 => drop(path.remove(at)),
                1 => path.insert(at, path[at]),
                _ => path[at].0[0] ^= 1,
            }
        }
        let head = both.log.prover(other_size).head().unwrap();
        let ours = head.verify_inclusion(index, &leaf(index), &path);
        // They ask for an index within the tree.
        if index < other_size {
            let there = tlog_tiles::check_record(
                &all_theirs(&path), other_size, theirs(head.root), index, theirs(leaf(index)),
            );
            prop_assert_eq!(ours.is_ok(), there.is_ok());
        } else {
            prop_assert!(ours.is_err());
        }

        let old = both.log.prover(index % size + 1).head().unwrap();
        let mut path = both.log.prover(size).consistency(old.size).unwrap();
        if let Some((at, 2)) = change && at < path.len() {
            path[at].0[0] ^= 1;
        }
        let ours = head.verify_consistency(&old, &path);
        if old.size <= other_size {
            let there = tlog_tiles::check_tree(
                &all_theirs(&path), other_size, theirs(head.root), old.size, theirs(old.root),
            );
            prop_assert_eq!(ours.is_ok(), there.is_ok());
        } else {
            prop_assert!(ours.is_err());
        }
    }

    #[test]
    fn notes_are_those_of_signed_note(
        text in "([ -~é—]{0,12}\n){1,4}",
        name in "[a-zé./-]{1,12}",
        seed: u8,
        change in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let signer = signer(&name, seed);
        let note = Note::new(text.clone(), signer.sign(&text)).unwrap();
        let mut bytes = note.to_string().into_bytes();
        if let Some(at) = change {
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
        }
        let known = || {
            let verifier = StandardVerifier::new(&signer.key().to_string()).unwrap();
            VerifierList::new(vec![Box::new(verifier)])
        };
        let there = signed_note::Note::from_bytes(&bytes);
        // What is no text there may be none here, and the other way round.
        match Note::parse(&bytes) {
            Ok(note) => {
                let there = there.unwrap();
                prop_assert_eq!((there.text(), there.to_bytes()), (note.text().as_bytes(), bytes));
                prop_assert_eq!(note.verify([signer.key()]).is_ok(), there.verify(&known()).is_ok());
            }
            Err(_) => prop_assert!(there.is_err() || matches!(there.unwrap().verify(&known()), Err(NoteError::UnverifiedNote))),
        }
    }
}

#[test]
fn roots_and_proofs_are_those_of_ct_merkle() {
    let (mut tree, mut log) = (MemoryBackedTree::<Sha256, [u8; 8]>::new(), Log::default());
    for size in 1..=300_u64 {
        tree.push((size - 1).to_be_bytes());
        log.append([leaf(size - 1)]);
        let root = tree.root();
        assert_eq!(root.as_bytes().as_slice(), log.head().root.as_ref());
        let mut prover = log.prover(size);
        for index in [0, size / 3, size / 2, size - 1] {
            let path = prover.inclusion(index).unwrap();
            let bytes = path.concat_bytes();
            assert_eq!(tree.prove_inclusion(index as usize).as_bytes(), bytes);
            root.verify_inclusion(&index.to_be_bytes(), index, &InclusionProof::try_from_bytes(bytes).unwrap())
                .unwrap();

            let old = index + 1;
            let bytes = prover.consistency(old).unwrap().concat_bytes();
            assert_eq!(tree.prove_consistency((size - old) as usize).as_bytes(), bytes);
            ConsistencyProof::<Sha256>::try_from_bytes(bytes).unwrap();
        }
    }
}

trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Concat for Vec<Hash> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|hash| hash.0).collect()
    }
}
