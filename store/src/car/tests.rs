use super::*;
use crate::{
    Block,
    block::Prefix,
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    dag::pb::{PbLink, PbNode, push_varint},
    fetch::{Fetch, Offline},
    hash::HashFn,
    kv::{Fault, FaultyKv, MemoryKv},
};
use bytes::Bytes;
use proptest::prelude::*;
use std::{io::Cursor, sync::Arc};

/// `ipfs dag export` of a folder with the files `one` and `same` (`one\n`, inlined), and `two` (40 times `x`),
/// added with `--cid-version=1 --inline --inline-limit=8`; and the same with `--local-only`.
const KUBO: &str = "3aa265726f6f747381d82a582500017012204de2b4db8833d38902d8b9c0bb6fd457dc04a6246dc7c37923cd9fa76a3273976776657273696f6e017e017012204de2b4db8833d38902d8b9c0bb6fd457dc04a6246dc7c37923cd9fa76a32739712110a08015500046f6e650a12036f6e65180412120a08015500046f6e650a120473616d651804122d0a2401551220bd913ff68243d41b9611b2690dfbf2b0f6e42ea14536a98232af60e9f64ffdaa120374776f18280a0208010c015500046f6e650a6f6e650a4c01551220bd913ff68243d41b9611b2690dfbf2b0f6e42ea14536a98232af60e9f64ffdaa78787878787878787878787878787878787878787878787878787878787878787878787878787878";
const KUBO_LOCAL: &str = "3aa265726f6f747381d82a582500017012204de2b4db8833d38902d8b9c0bb6fd457dc04a6246dc7c37923cd9fa76a3273976776657273696f6e017e017012204de2b4db8833d38902d8b9c0bb6fd457dc04a6246dc7c37923cd9fa76a32739712110a08015500046f6e650a12036f6e65180412120a08015500046f6e650a120473616d651804122d0a2401551220bd913ff68243d41b9611b2690dfbf2b0f6e42ea14536a98232af60e9f64ffdaa120374776f18280a0208014c01551220bd913ff68243d41b9611b2690dfbf2b0f6e42ea14536a98232af60e9f64ffdaa78787878787878787878787878787878787878787878787878787878787878787878787878787878";

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

fn store() -> Arc<KvBlocks> {
    Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"))
}

fn raw(data: impl Into<Bytes>) -> Block {
    Block::seal(Prefix::v1(codec::RAW), data.into()).expect("seals")
}

fn car(roots: &[Cid], blocks: &[Block]) -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out, roots).expect("writes");
    for block in blocks {
        write_section(&mut out, block).expect("writes");
    }
    out
}

/// Puts a CARv1 into a CARv2, with padding and something in the place of an index.
fn v2(data: &[u8], padding: usize) -> Vec<u8> {
    let mut out = unhex("0aa16776657273696f6e02");
    out.extend_from_slice(&[0; 16]);
    let offset = 51 + padding as u64;
    for number in [offset, data.len() as u64, offset + data.len() as u64] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.resize(51 + padding, 0);
    out.extend_from_slice(data);
    out.extend_from_slice(b"\x81\x08 not an index");
    out
}

fn read_all(bytes: &[u8]) -> Result<(Header, Vec<Section>), CarError> {
    let mut reader = CarReader::open(bytes)?;
    let mut sections = Vec::new();
    while let Some(section) = reader.next_section()? {
        sections.push(section);
    }
    Ok((reader.header().clone(), sections))
}

fn import(store: &Arc<KvBlocks>, bytes: Vec<u8>, options: ImportOptions) -> Result<Imported, ImportError> {
    let mut import = Import::new(store, options);
    import.read(Cursor::new(bytes), &|| false)?;
    Ok(import.commit()?.clone())
}

fn export_from(store: &Arc<KvBlocks>, root: Cid, partial: bool) -> Result<Vec<u8>, ExportError> {
    let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(Arc::clone(store) as _));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("starts");
    let mut out = Vec::new();
    let options = ExportOptions { partial, deadline: None };
    let done = runtime.block_on(export(fetch, root, options, &mut out, &mut |_| {}))?;
    assert_eq!(done.bytes, out.len() as u64);
    Ok(out)
}

#[test]
fn kubos_car_comes_out_as_it_went_in() {
    let store = store();
    for bytes in [unhex(KUBO), v2(&unhex(KUBO), 13)] {
        let imported = import(&store, bytes, ImportOptions::default()).expect("imports");
        assert_eq!((imported.blocks, imported.bytes, imported.roots.len()), (3, 90 + 4 + 40, 1));
        assert_eq!(store.list().count(), 2, "the identity block is not stored");
        assert_eq!(export_from(&store, imported.roots[0], false).expect("exports"), unhex(KUBO));
        assert_eq!(export_from(&store, imported.roots[0], true).expect("exports"), unhex(KUBO_LOCAL));
    }
}

#[test]
fn a_partial_export_leaves_out_what_is_missing() {
    let store = store();
    let imported = import(&store, unhex(KUBO), ImportOptions::default()).expect("imports");
    let two = *raw("x".repeat(40)).cid();
    store.delete_many(&[*two.hash()]).expect("deletes");
    let root = imported.roots[0];
    let error = export_from(&store, root, false).expect_err("misses a block");
    assert!(error.to_string().contains(&format!("ipld: could not find {two}")), "{error}");
    let partial = export_from(&store, root, true).expect("exports");
    assert_eq!(read_all(&partial).expect("reads").1.len(), 1);
    store.delete_many(&[*root.hash()]).expect("deletes");
    assert!(matches!(export_from(&store, root, true), Err(ExportError::Root(_))));
}

#[test]
fn a_partial_export_does_not_leave_out_what_the_disk_does_not_give() {
    let (mut failed, mut whole) = (0, false);
    for after in 1..50 {
        let kv = Arc::new(MemoryKv::new());
        let store = Arc::new(KvBlocks::open(kv.clone()).expect("opens"));
        let root = import(&store, unhex(KUBO), ImportOptions::default()).expect("imports").roots[0];
        drop(store);
        let kv = Arc::into_inner(kv).expect("nobody else has it");
        let store = KvBlocks::open(Arc::new(FaultyKv::from_then_on(kv, Fault::Io, after))).expect("opens");
        match export_from(&Arc::new(store), root, true) {
            Ok(bytes) => {
                assert_eq!(bytes, unhex(KUBO_LOCAL), "with a fault after {after} operations");
                whole = true;
            }
            Err(_) => failed += 1,
        }
    }
    assert!(whole && failed >= 2, "{failed} faults were met");
}

#[test]
fn every_cut_is_noticed_unless_it_is_between_sections() {
    let blocks = [raw("a".repeat(200)), raw(""), raw("ccc")];
    let whole = car(&[*blocks[0].cid()], &blocks);
    let ends: Vec<usize> = std::iter::once(0)
        .chain(blocks.iter().map(|b| car(&[], std::slice::from_ref(b)).len() - car(&[], &[]).len()))
        .scan(car(&[*blocks[0].cid()], &[]).len(), |end, len| {
            *end += len;
            Some(*end)
        })
        .collect();
    for cut in 0..whole.len() {
        let result = read_all(&whole[..cut]);
        match result {
            Ok((_, sections)) => assert_eq!(ends.get(sections.len()), Some(&cut)),
            Err(CarError::Empty) => assert_eq!(cut, 0),
            Err(CarError::Truncated { at, .. }) => assert!(at == cut as u64 && !ends.contains(&cut)),
            Err(other) => panic!("cut at {cut}: {other}"),
        }
        // A CARv2 says how long its data is: it can't be cut anywhere.
        let wrapped = v2(&whole, 0);
        assert!(read_all(&wrapped[..51 + cut]).is_err(), "cut at {cut}");
    }
}

/// A stream that goes on for ever, and counts what was taken of it.
struct Endless(u64);

impl std::io::Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        buf.fill(0);
        self.0 += buf.len() as u64;
        Ok(buf.len())
    }
}

#[test]
fn declared_lengths_are_bounded_before_they_are_believed() {
    use std::io::Read as _;
    let lengths = [i64::MAX as u64, 1 << 40, MAX_HEADER + 1];
    for len in lengths {
        let mut head = Vec::new();
        push_varint(&mut head, len);
        let result = CarReader::open(Cursor::new(head).chain(Endless(0)));
        assert!(matches!(result.err(), Some(CarError::TooLong { at: 0, max: MAX_HEADER, .. })), "{len}");
    }
    for len in [i64::MAX as u64, 1 << 40, MAX_SECTION + 1] {
        let mut bytes = car(&[], &[]);
        let at = bytes.len() as u64;
        push_varint(&mut bytes, len);
        let result = CarReader::open(Cursor::new(bytes).chain(Endless(0))).expect("opens").next_section();
        assert!(matches!(result, Err(CarError::TooLong { at: a, .. }) if a == at), "{len}");
    }
    // Ten million roots, and none of them there: nothing is allocated for them.
    let header = unhex("a265726f6f74739a00989680");
    let mut bytes = vec![header.len() as u8];
    bytes.extend_from_slice(&header);
    assert!(matches!(read_all(&bytes), Err(CarError::Header(_))));
}

#[test]
fn malformed_headers_are_refused() {
    let good = car(&[], &[]);
    assert!(read_all(&good).is_ok());
    for (hex, why) in [
        ("a16776657273696f6e01", "no roots"),
        ("a265726f6f7473806776657273696f6e03", "version 3"),
        ("a265726f6f7473806776657273696f6e02", "version 2 with roots"),
        ("a165726f6f747380", "no version"),
        ("a265726f6f7473806776657273696f6e0100", "a byte too many"),
        ("b9000265726f6f7473806776657273696f6e01", "a length that is not minimal"),
        ("a365726f6f74738065726f6f7473806776657273696f6e01", "roots twice"),
        ("bf65726f6f7473806776657273696f6e01ff", "an indefinite map"),
        ("a265726f6f747381016776657273696f6e01", "a root that is no link"),
        ("a265726f6f747381d82a41006776657273696f6e01", "a root that is no CID"),
        ("80", "a list"),
        ("", "nothing"),
    ] {
        let header = unhex(hex);
        let mut bytes = vec![header.len() as u8];
        bytes.extend_from_slice(&header);
        assert!(matches!(read_all(&bytes), Err(CarError::Header(_))), "{why}: {:?}", read_all(&bytes));
    }
}

#[test]
fn malformed_carv2_headers_are_refused() {
    let good = v2(&car(&[], &[raw("x")]), 0);
    assert_eq!(read_all(&good).expect("reads").1.len(), 1);
    // Offsets in the fixed header, and values that can't be.
    for (at, value) in [(27, 0u64), (27, 50), (27, u64::MAX), (27, 1 << 63), (35, 0), (35, u64::MAX), (35, 1 << 63)] {
        let mut bad = good.clone();
        bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
        assert!(matches!(read_all(&bad), Err(CarError::Header(_))), "{value} at {at}: {:?}", read_all(&bad));
    }
    // Data that ends in the middle of a section, or goes on after the stream does.
    for size in [20u64, 1 << 40] {
        let mut bad = good.clone();
        bad[35..43].copy_from_slice(&size.to_le_bytes());
        assert!(read_all(&bad).is_err(), "{size}");
    }
    // A CARv2 within a CARv2.
    assert!(matches!(read_all(&v2(&good, 0)), Err(CarError::Header(_))));
}

#[test]
fn what_is_not_what_it_claims_is_not_stored() {
    let section = |cid: &[u8], data: &[u8]| {
        let mut out = car(&[], &[raw("before")]);
        push_varint(&mut out, (cid.len() + data.len()) as u64);
        out.extend_from_slice(cid);
        out.extend_from_slice(data);
        out
    };
    let named = |prefix: Prefix, data: &'static [u8]| {
        Block::seal(prefix, Bytes::from_static(data)).expect("seals").cid().to_bytes()
    };
    let inline = Prefix { version: cid::Version::V1, codec: codec::RAW, hash: HashFn::IDENTITY };
    let mut unknown_hash = named(Prefix::v1(codec::RAW), b"x");
    unknown_hash[2] = 0x33;
    let before = raw("before").cid().to_string();
    for (cid, data, why, message) in [
        (named(Prefix::v1(codec::RAW), b"x"), &b"y"[..], "another block", "import failed at block"),
        (named(inline, b"x"), b"y", "another inline block", "import failed at block"),
        (named(Prefix::V0, b"\xff"), b"\xff", "malformed dag-pb", "import failed at block"),
        (named(Prefix::v1(0x9999), b"x"), b"x", "an unknown codec", "import failed at block"),
        (unknown_hash, b"x", "an unknown hash", "import failed at block"),
        (vec![], b"", "an empty section", "import failed after block"),
        (vec![1], b"", "a cut CID", "import failed after block"),
        (vec![9, 0x55, 0, 0], b"", "a CID of version 9", "import failed after block"),
    ] {
        let store = store();
        let error = import(&store, section(&cid, data), ImportOptions::default()).expect_err(why).to_string();
        assert!(error.starts_with(message), "{why}: {error}");
        assert!(!message.contains("after") || error.contains(&before), "{why}: {error}");
        assert_eq!(store.list().count(), 0, "{why}");
    }
}

#[test]
fn blocks_over_2_mib_need_permission_and_sections_over_8_mib_get_none() {
    let store = store();
    // The limit itself, and one byte more.
    let [fits, over] = [MAX_BLOCK, MAX_BLOCK + 1].map(|len| raw(vec![7; len]));
    import(&store, car(&[], &[fits]), ImportOptions::default()).expect("fits");
    let error =
        import(&store, car(&[], std::slice::from_ref(&over)), ImportOptions::default()).expect_err("is too big");
    assert!(error.to_string().contains("block is over 2MiB"), "{error}");
    import(&store, car(&[], &[over]), ImportOptions { allow_big_blocks: true }).expect("is allowed");
    let huge = car(&[], &[raw(vec![7; MAX_SECTION as usize])]);
    assert!(import(&store, huge, ImportOptions { allow_big_blocks: true }).is_err());
}

const MAX_BLOCK: usize = crate::block::MAX_BLOCK_SIZE;

#[test]
fn an_import_that_is_told_to_stop_does_not_wait_for_its_source() {
    struct Silent;
    impl io::Read for Silent {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            loop {
                std::thread::park();
            }
        }
    }
    let store = store();
    let result = Import::new(&store, ImportOptions::default()).read(Silent, &|| true);
    assert!(matches!(result, Err(ImportError::Stopped)));
}

/// 30 MiB: the reader fills its window eight times, some of them while sections of it are still held.
#[test]
fn sections_that_are_kept_are_not_overwritten_by_what_is_read_later() {
    let blocks: Vec<Block> = (0..100u8).map(|i| raw(vec![i; 300 << 10])).collect();
    let bytes = car(&[], &blocks);
    let mut reader = CarReader::open(&bytes[..]).expect("opens");
    let mut kept = Vec::new();
    for block in &blocks {
        let section = reader.next_section().expect("reads").expect("is there");
        assert_eq!(&section.data, block.data());
        // The first window goes free at once, later ones do not.
        if block.data()[0] > 20 && block.data()[0] % 9 == 0 {
            kept.push((section, block));
        }
    }
    assert!(kept.iter().all(|(section, block)| section.data == *block.data()));
}

#[test]
fn roots_of_many_cars_are_counted_once() {
    let store = store();
    let (a, b) = (raw("a"), raw("b"));
    let mut import = Import::new(&store, ImportOptions::default());
    for roots in [&[*a.cid(), *b.cid(), *a.cid()][..], &[*b.cid()]] {
        import.read(Cursor::new(car(roots, &[a.clone(), a.clone()])), &|| false).expect("imports");
    }
    let imported = import.commit().expect("commits");
    assert_eq!((&imported.roots, imported.blocks), (&vec![*a.cid(), *b.cid()], 4));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn what_is_exported_is_imported(
        leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..40),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..80),
        padding in 0usize..100,
    ) {
        let here = store();
        let leaves: Vec<Block> = leaves.into_iter().map(raw).collect();
        let links = picks.iter().map(|i| PbLink::new(*i.get(&leaves).cid(), Bytes::new(), 0)).collect();
        let root = Block::seal(Prefix::V0, PbNode { links, data: None }.encode()).expect("seals");
        here.put_many(&leaves, crate::kv::Durability::Buffered).expect("puts");
        here.put(&root).expect("puts");
        let bytes = export_from(&here, *root.cid(), false).expect("exports");
        for bytes in [v2(&bytes, padding), bytes.clone()] {
            let there = store();
            let imported = import(&there, bytes.clone(), ImportOptions::default()).expect("imports");
            prop_assert_eq!(imported.roots, vec![*root.cid()]);
            prop_assert_eq!(export_from(&there, *root.cid(), false).expect("exports"), export_from(&here, *root.cid(), false).expect("exports"));
        }
    }

    #[test]
    fn noise_is_refused_without_a_panic(noise in prop::collection::vec(any::<u8>(), 0..400), at in any::<prop::sample::Index>()) {
        let _ = read_all(&noise);
        let mut bytes = unhex(KUBO);
        let at = at.index(bytes.len());
        bytes.splice(at..at, noise);
        let _ = read_all(&bytes);
    }
}
