//! Published numbers: the test tree of Certificate Transparency, the examples of C2SP, checkpoints of public logs.

use portcullis_tlog::witness::AddCheckpoint;
use portcullis_tlog::{
    Checkpoint, Edge, Hash, LogProof, Note, Policy, Resource, SignedCheckpoint, Tile, TreeHead, VerifierKey,
};

use super::Log;

/// The entries that the reference implementation of RFC 6962 has been tested with, in hexadecimal.
const ENTRIES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// Roots over the first one, two … of them.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// A checkpoint of a public log: signed in a way that is unknown here, by Ed25519, and by four witnesses.
const ARCHE: &str = "\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
";
const ARCHE_KEY: &str = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
const REMORA_KEY: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hash(hex: &str) -> Hash {
    Hash(bytes(hex).try_into().unwrap())
}

fn head(size: usize) -> TreeHead {
    TreeHead { size: size as u64, root: hash(ROOTS[size - 1]) }
}

#[test]
fn roots_are_those_of_the_reference_implementation() {
    let mut edge = Edge::default();
    assert_eq!(edge.head(), TreeHead::EMPTY);
    for (number, entry) in ENTRIES.iter().enumerate() {
        edge.push(Hash::leaf(&bytes(entry)));
        assert_eq!(edge.head(), head(number + 1));
    }
}

#[test]
fn proofs_are_those_of_the_reference_implementation() {
    let mut log = Log::default();
    log.append(ENTRIES.map(|entry| Hash::leaf(&bytes(entry))));
    let one = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    let three_four = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    let five_to_eight = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    let five = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    let five_six = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    let seven_eight = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    let inclusions: [(u64, usize, &[&str]); 5] = [
        (0, 1, &[]),
        (0, 8, &[one, three_four, five_to_eight]),
        (5, 8, &[five, seven_eight, ROOTS[3]]),
        (2, 3, &[ROOTS[1]]),
        (1, 5, &[ROOTS[0], three_four, five]),
    ];
    for (index, size, path) in inclusions {
        let path: Vec<Hash> = path.iter().map(|hex| hash(hex)).collect();
        assert_eq!(log.prover(size as u64).inclusion(index).unwrap(), path);
        let leaf = Hash::leaf(&bytes(ENTRIES[index as usize]));
        head(size).verify_inclusion(index, &leaf, &path).unwrap();
    }
    let consistencies: [(usize, usize, &[&str]); 4] = [
        (1, 1, &[]),
        (1, 8, &[one, three_four, five_to_eight]),
        (6, 8, &[five_six, seven_eight, ROOTS[3]]),
        (2, 5, &[three_four, five]),
    ];
    for (old, new, path) in consistencies {
        let path: Vec<Hash> = path.iter().map(|hex| hash(hex)).collect();
        assert_eq!(log.prover(new as u64).consistency(old as u64).unwrap(), path);
        head(new).verify_consistency(&head(old), &path).unwrap();
    }
}

#[test]
fn the_example_of_a_note_is_signed_by_the_example_of_a_key() {
    let key: VerifierKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse().unwrap();
    let note = "This is an example message.\n\n— example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let parsed = Note::parse(note.as_bytes()).unwrap();
    assert_eq!(parsed.verify([&key]).unwrap()[0].key, &key);
    assert_eq!((parsed.text(), parsed.to_string().as_str()), ("This is an example message.\n", note));
}

#[test]
fn a_note_may_have_empty_lines_and_other_scripts() {
    let text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n";
    let note = format!(
        "{text}\n— quasimodo.example/salvatore \
        NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
    );
    let parsed = Note::parse(note.as_bytes()).unwrap();
    assert_eq!((parsed.text(), parsed.to_string()), (text, note));
}

#[test]
fn the_checksum_database_of_go_has_signed_its_head() {
    let key: VerifierKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8".parse().unwrap();
    let note = "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n\n— sum.golang.org \
        Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=\n";
    let note = Note::parse(note.as_bytes()).unwrap();
    note.verify([&key]).unwrap();
    let checkpoint: Checkpoint = note.text().parse().unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.head().size), ("go.sum database tree", 35_225_469));
}

#[test]
fn a_public_log_and_its_witness_have_signed_their_head() {
    let signed = SignedCheckpoint::parse(ARCHE.as_bytes()).unwrap();
    assert_eq!((signed.signatures().len(), signed.to_string().as_str()), (6, ARCHE));
    let policy = format!("log {ARCHE_KEY}\nwitness remora {REMORA_KEY}\nquorum remora\n");
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let trusted = policy.check(&signed).unwrap();
    assert_eq!(trusted.checkpoint.head().size, 1_432_088_532);
    assert_eq!(
        (trusted.witnesses[0].key.to_string().as_str(), trusted.witnesses[0].at),
        (REMORA_KEY, Some(0x6a12_2120))
    );
    let smaller = SignedCheckpoint::parse(ARCHE.replace("1432088532", "42").as_bytes()).unwrap();
    policy.check(&smaller).unwrap_err();
}

#[test]
fn the_example_of_a_request_to_a_witness_is_one() {
    let request = "\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";
    let parsed = AddCheckpoint::parse(request.as_bytes()).unwrap();
    assert_eq!((parsed.old_size, parsed.proof.len(), parsed.to_string().as_str()), (20_852_014, 4, request));
    assert_eq!(parsed.checkpoint.origin(), "example.com/behind-the-sofa");
}

#[test]
fn the_example_of_an_offline_proof_is_one() {
    let checkpoint = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa \
        Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — witness.example.com/w1 \
        jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let proof = format!(
        "c2sp.org/tlog-proof@v1\nextra YWdlLXYxLjIuMQ==\nindex 73894\n\
        gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\nB95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n\n{checkpoint}"
    );
    let parsed = LogProof::parse(proof.as_bytes()).unwrap();
    assert_eq!((parsed.index, parsed.path.len(), parsed.to_string()), (73894, 2, proof));
    assert_eq!(parsed.extra.as_deref(), Some(b"age-v1.2.1".as_slice()));
}

#[test]
fn the_example_of_a_path_is_that_of_its_tile() {
    let tile = Resource::Tile(Tile { level: 0, index: 1_234_067, width: 256 });
    assert_eq!(tile.to_string(), "tile/0/x001/x234/067");
    assert_eq!("tile/0/x001/x234/067".parse::<Resource>().unwrap(), tile);
}

#[test]
fn a_tree_of_70_000_leaves_has_the_tiles_of_the_example() {
    let of_level = |level: u8| Tile::all(70_000).filter(move |tile| tile.level == level);
    assert_eq!(of_level(0).filter(|tile| tile.width == 256).count(), 273);
    assert_eq!(of_level(0).last().unwrap(), Tile { level: 0, index: 273, width: 112 });
    assert_eq!(of_level(1).map(|tile| tile.width).collect::<Vec<_>>(), [256, 17]);
    assert_eq!(of_level(2).map(|tile| tile.width).collect::<Vec<_>>(), [1]);
    assert_eq!(Tile::all(70_000).count(), 273 + 1 + 2 + 1);
    let of_256: Vec<Tile> = Tile::all(256).collect();
    assert_eq!(of_256, [Tile { level: 0, index: 0, width: 256 }, Tile { level: 1, index: 0, width: 1 }]);
}
