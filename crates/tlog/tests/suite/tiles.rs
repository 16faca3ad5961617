//! Tiles, bundles, and the edge that grows them.

use portcullis_tlog::{
    BundleError, Edge, Hash, MAX_ENTRY_BYTES, MAX_SIZE, ProveError, Prover, Resource, Tile, decode_bundle,
    encode_bundle,
};

use super::{Log, Missing, leaf};

#[test]
fn batches_of_any_size_lead_to_the_same_tiles() {
    let whole = Log::of(70_000);
    let mut batched = Log::default();
    let mut next = 0;
    for batch in [1, 255, 1, 254, 2, 0, 256, 257, 7, 1000, 63_503, 1, 9999].into_iter().cycle() {
        let end = (next + batch).min(70_000);
        batched.append((next..end).map(leaf));
        next = end;
        if next == 70_000 {
            break;
        }
    }
    assert_eq!((batched.edge, batched.tiles), (whole.edge, whole.tiles));
}

#[test]
fn a_log_has_exactly_the_tiles_of_its_size() {
    for size in [0, 1, 255, 256, 257, 65_535, 65_536, 66_000] {
        let log = Log::of(size);
        let tiles: Vec<Tile> = Tile::all(size).collect();
        assert!(tiles.is_sorted());
        let widths: Vec<_> = tiles.iter().map(|it| ((it.level, it.index), usize::from(it.width))).collect();
        let stored: Vec<_> = log.tiles.iter().map(|(place, bytes)| (*place, bytes.len() / Hash::BYTES)).collect();
        assert_eq!(stored, widths, "{size}");
    }
}

#[test]
fn an_append_writes_no_tile_but_those_that_differ() {
    let mut log = Log::of(65_000);
    let spans = log.append((65_000..66_000).map(leaf));
    let written: Vec<_> = spans.iter().map(|span| (span.level, span.index)).collect();
    let differ: Vec<_> = Tile::between(65_000, 66_000).map(|tile| (tile.level, tile.index)).collect();
    assert_eq!(written, differ);
    assert_eq!(log.append([]), []);
    assert_eq!(Tile::between(66_000, 66_000).next(), None);
}

#[test]
fn an_edge_goes_on_from_its_peaks_and_from_the_tiles() {
    let log = Log::of(66_000);
    let kept = Edge::new(66_000, log.edge.peaks().to_vec()).unwrap();
    assert_eq!((&kept, &log.prover(66_000).edge().unwrap()), (&log.edge, &log.edge));
    let mut earlier = log.prover(300).edge().unwrap();
    (300..66_000).for_each(|number| earlier.push(leaf(number)));
    assert_eq!(earlier, log.edge);
}

#[test]
fn an_edge_of_another_size_is_refused() {
    let peaks = Log::of(7).edge.peaks().to_vec();
    for size in [6, 8, 15, MAX_SIZE + 1, u64::MAX] {
        Edge::new(size, peaks.clone()).unwrap_err();
    }
    Edge::new(11, peaks).unwrap();
}

#[test]
fn what_no_tile_can_give_is_an_error() {
    let log = Log::of(300);
    assert!(matches!(log.prover(300).inclusion(300), Err(ProveError::Range(300))));
    assert!(matches!(log.prover(300).consistency(301), Err(ProveError::Range(300))));
    assert!(matches!(log.prover(0).inclusion(0), Err(ProveError::Range(0))));
    assert!(matches!(Prover::new(MAX_SIZE + 1, |tile| log.read(tile)), Err(ProveError::Range(_))));
    let first = Tile { level: 0, index: 0, width: 256 };
    let none = Prover::new(300, |_| Err(Missing)).unwrap().inclusion(0);
    assert!(matches!(none, Err(ProveError::Read(tile, Missing)) if tile == first));
    for bytes in [0, 1, 31, 32, 255 * 32, 256 * 32 - 1] {
        let short = Prover::new(300, |tile| log.read(tile).map(|tile| tile[..bytes.min(tile.len())].to_vec()));
        assert!(matches!(short.unwrap().inclusion(255), Err(ProveError::Short(tile)) if tile == first), "{bytes}");
    }
}

#[test]
fn proofs_for_leaves_in_order_read_each_tile_once() {
    let log = Log::of(2000);
    let mut reads = Vec::new();
    let mut prover = Prover::new(2000, |tile| {
        reads.push(tile);
        log.read(tile)
    })
    .unwrap();
    for index in 0..2000 {
        let path = prover.inclusion(index).unwrap();
        log.head().verify_inclusion(index, &leaf(index), &path).unwrap();
    }
    reads.sort();
    assert_eq!(reads, Tile::all(2000).collect::<Vec<_>>());
}

#[test]
fn a_path_has_one_spelling() {
    let tile = |level, index, width| Some(Resource::Tile(Tile { level, index, width }));
    let entries = |index, width| Some(Resource::Entries { index, width });
    let cases = [
        ("checkpoint", Some(Resource::Checkpoint)),
        ("tile/0/000", tile(0, 0, 256)),
        ("tile/3/999.p/1", tile(3, 999, 1)),
        ("tile/1/x001/000.p/255", tile(1, 1000, 255)),
        ("tile/entries/x999/999", entries(999_999, 256)),
        ("tile/entries/x001/x000/000.p/16", entries(1_000_000, 16)),
        ("tile/7/000.p/127", tile(7, 0, 127)),
        ("tile/7/000.p/128", None),
        ("tile/8/000", None),
        ("tile/0/x036/x028/x797/x018/x963/966", tile(0, 36_028_797_018_963_966, 256)),
        ("tile/0/x036/x028/x797/x018/x963/967", None),
        ("tile/0/x018/x446/x744/x073/x709/x551/616", None),
    ];
    for (path, resource) in cases {
        assert_eq!(path.parse().ok(), resource, "{path}");
        if let Some(resource) = resource {
            assert_eq!(resource.to_string(), path);
        }
    }
    let others = [
        "",
        "/checkpoint",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/00/000",
        "tile/+0/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/1/",
        "tile/0/-01",
        "tile/0/../checkpoint",
        "tile/entries",
        "tile/data/000",
    ];
    for path in others {
        assert!(path.parse::<Resource>().is_err(), "{path}");
    }
}

#[test]
fn a_bundle_gives_back_its_entries() {
    let longest = vec![7; MAX_ENTRY_BYTES];
    let entries: Vec<&[u8]> = vec![b"", b"one", &longest];
    let bundle = encode_bundle(entries.iter().copied()).unwrap();
    assert_eq!(decode_bundle(&bundle).unwrap(), entries);
    assert!((1..bundle.len()).filter(|end| ![2, 7].contains(end)).all(|end| decode_bundle(&bundle[..end]).is_err()));
    let full = vec![b"".as_slice(); 256];
    assert_eq!(decode_bundle(&encode_bundle(full).unwrap()).unwrap().len(), 256);
}

#[test]
fn what_does_not_fit_a_bundle_is_refused() {
    let too_long = vec![0; MAX_ENTRY_BYTES + 1];
    assert_eq!(encode_bundle([too_long.as_slice()]), Err(BundleError::Entry(MAX_ENTRY_BYTES + 1)));
    assert_eq!(encode_bundle([b"".as_slice(); 257]), Err(BundleError::Width));
    assert_eq!(encode_bundle([]), Err(BundleError::Width));
    assert_eq!(decode_bundle(&[0; 2 * 257]), Err(BundleError::Width));
    assert_eq!(decode_bundle(&[]), Err(BundleError::Width));
    assert_eq!(decode_bundle(&[0]), Err(BundleError::Cut));
    assert_eq!(decode_bundle(&[0, 1]), Err(BundleError::Cut));
}
