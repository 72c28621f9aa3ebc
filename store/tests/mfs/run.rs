//! Random operations on a tree and on the model, at the same time.

use crate::{
    model::{Model, Outcome, Path},
    world::{Seen, World, look, options, small, stored},
};
use bytes::Bytes;
use cairn_store::{
    chunker::ChunkerSpec,
    mfs::{Change, Held, Ino, Kind, Mfs, MfsError, New, Options, RenameMode},
    unixfs::profile::Profile,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Create(Path, bool),
    Mkdir(Path),
    Symlink(Path),
    Unlink(Path),
    Rmdir(Path),
    Remove(Path),
    Rename(Path, Path, RenameMode),
    Write(Path, u16, Vec<u8>),
    Append(Path, Vec<u8>),
    Truncate(Path, u16),
    Punch(Path, u16, u16),
    Copy(Path, Path),
    CopyRange(Path, u16, u16, Path, u16),
    Read(Path),
    Flush(Path),
    Sync,
    /// A crash: what was not synced is lost.
    Crash,
}

fn path() -> impl Strategy<Value = Path> {
    prop::collection::vec(b'a'..b'e', 1..4)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), 0usize..80).prop_map(|(first, len)| (0..len).map(|i| first.wrapping_add(i as u8)).collect())
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let mode = prop_oneof![Just(RenameMode::Replace), Just(RenameMode::NoReplace), Just(RenameMode::Exchange)];
    let op = prop_oneof![
        6 => (path(), any::<bool>()).prop_map(|(path, exclusive)| Op::Create(path, exclusive)),
        5 => path().prop_map(Op::Mkdir),
        1 => path().prop_map(Op::Symlink),
        2 => path().prop_map(Op::Unlink),
        2 => path().prop_map(Op::Rmdir),
        1 => path().prop_map(Op::Remove),
        5 => (path(), path(), mode).prop_map(|(from, to, mode)| Op::Rename(from, to, mode)),
        6 => (path(), 0u16..200, bytes()).prop_map(|(path, at, data)| Op::Write(path, at, data)),
        2 => (path(), bytes()).prop_map(|(path, data)| Op::Append(path, data)),
        2 => (path(), 0u16..200).prop_map(|(path, len)| Op::Truncate(path, len)),
        1 => (path(), 0u16..200, 0u16..100).prop_map(|(path, at, len)| Op::Punch(path, at, len)),
        2 => (path(), path()).prop_map(|(from, to)| Op::Copy(from, to)),
        1 => (path(), 0u16..150, 0u16..100, path(), 0u16..200)
            .prop_map(|(from, at, len, to, to_at)| Op::CopyRange(from, at, len, to, to_at)),
        2 => path().prop_map(Op::Read),
        1 => path().prop_map(Op::Flush),
        1 => Just(Op::Sync),
        1 => Just(Op::Crash),
    ];
    prop::collection::vec(op, 1..120)
}

fn named<T>(result: Result<T, MfsError>) -> Outcome<T> {
    result.map_err(|error| match error {
        MfsError::NotFound(_) => "not found",
        MfsError::Exists(_) => "exists",
        MfsError::NotDir(_) => "not a directory",
        MfsError::IsDir(_) => "a directory",
        MfsError::IsSymlink(_) => "a link",
        MfsError::NotEmpty(_) => "not empty",
        MfsError::Loop(_) => "a loop",
        other => panic!("{other}"),
    })
}

async fn at(mfs: &Mfs, path: &[u8]) -> Outcome<Held> {
    let path: Vec<u8> = path.iter().flat_map(|name| [b'/', *name]).collect();
    named(mfs.resolve(&path).await)
}

/// The directory of an entry, and its name.
async fn place<'a>(mfs: &Mfs, path: &'a [u8]) -> Outcome<(Held, &'a [u8])> {
    let (above, name) = path.split_at(path.len() - 1);
    Ok((at(mfs, above).await?, name))
}

/// What a file holds, if it is one.
async fn file(mfs: &Mfs, path: &[u8]) -> Outcome<Held> {
    let held = at(mfs, path).await?;
    match held.attr().kind {
        Kind::File => Ok(held),
        Kind::Directory => Err("a directory"),
        Kind::Symlink => Err("a link"),
    }
}

async fn forgetting(mfs: &Mfs, made: Result<cairn_store::mfs::Attr, MfsError>) -> Outcome<Ino> {
    let attr = named(made)?;
    mfs.forget(attr.ino, 1);
    Ok(attr.ino)
}

/// Does one operation on both; whether they agree.
async fn step(mfs: &Mfs, model: &mut Model, op: &Op) -> (Outcome<Vec<u8>>, Outcome<Vec<u8>>) {
    let none = |result: Outcome<()>| result.map(|()| Vec::new());
    let done = none(do_it(mfs, op).await);
    let expected = none(match op {
        Op::Create(path, exclusive) => model.make(path, Seen::File(Vec::new()), *exclusive),
        Op::Mkdir(path) => model.make(path, Seen::Dir(Default::default()), true),
        Op::Symlink(path) => model.make(path, Seen::Link(b"../else".to_vec()), true),
        Op::Unlink(path) => model.unlink(path),
        Op::Rmdir(path) => model.rmdir(path),
        Op::Remove(path) => model.remove(path),
        Op::Rename(from, to, mode) => model.rename(from, to, *mode),
        Op::Write(path, at, data) => model.write(path, (*at).into(), data),
        Op::Append(path, data) => model.file(path).map(|content| content.extend_from_slice(data)),
        Op::Truncate(path, len) => model.file(path).map(|content| content.resize((*len).into(), 0)),
        Op::Punch(path, at, len) => model.file(path).map(|content| {
            let end = usize::from(*at + *len).min(content.len());
            content[usize::from(*at).min(end)..end].fill(0);
        }),
        Op::Copy(from, to) => model.copy(from, to),
        Op::CopyRange(from, at, len, to, to_at) => (|| {
            let source = model.file(from)?.clone();
            model.file(to)?;
            let end = usize::from(*at + *len).min(source.len());
            model.write(to, (*to_at).into(), &source[usize::from(*at).min(end)..end])
        })(),
        Op::Read(path) => {
            let expected = model.file(path).cloned();
            let read = match file(mfs, path).await {
                Ok(held) => named(mfs.read(held.ino(), 0, usize::MAX).await).map(|bytes| bytes.to_vec()),
                Err(error) => Err(error),
            };
            return (read, expected);
        }
        Op::Flush(path) => model.get(path).map(drop),
        Op::Sync | Op::Crash => Ok(()),
    });
    (done, expected)
}

async fn do_it(mfs: &Mfs, op: &Op) -> Outcome<()> {
    let new = New::default();
    match op {
        Op::Create(path, exclusive) => {
            let (above, name) = place(mfs, path).await?;
            forgetting(mfs, mfs.create(above.ino(), name, new, *exclusive).await).await.map(drop)
        }
        Op::Mkdir(path) => {
            let (above, name) = place(mfs, path).await?;
            forgetting(mfs, mfs.mkdir(above.ino(), name, new).await).await.map(drop)
        }
        Op::Symlink(path) => {
            let (above, name) = place(mfs, path).await?;
            forgetting(mfs, mfs.symlink(above.ino(), name, b"../else", new).await).await.map(drop)
        }
        Op::Unlink(path) => {
            let (above, name) = place(mfs, path).await?;
            named(mfs.unlink(above.ino(), name).await)
        }
        Op::Rmdir(path) => {
            let (above, name) = place(mfs, path).await?;
            named(mfs.rmdir(above.ino(), name).await)
        }
        Op::Remove(path) => {
            let (above, name) = place(mfs, path).await?;
            named(mfs.remove(above.ino(), name).await)
        }
        Op::Rename(from, to, mode) => {
            let (from, name) = place(mfs, from).await?;
            let (to, to_name) = place(mfs, to).await?;
            named(mfs.rename(from.ino(), name, to.ino(), to_name, *mode).await)
        }
        Op::Write(path, at, data) => {
            let held = file(mfs, path).await?;
            named(mfs.write(held.ino(), (*at).into(), Bytes::copy_from_slice(data)).await)
        }
        Op::Append(path, data) => {
            let held = file(mfs, path).await?;
            named(mfs.append(held.ino(), Bytes::copy_from_slice(data)).await).map(drop)
        }
        Op::Truncate(path, len) => {
            let held = file(mfs, path).await?;
            let change = Change { size: Some((*len).into()), ..Change::default() };
            named(mfs.set_attr(held.ino(), change).await).map(drop)
        }
        Op::Punch(path, at, len) => {
            let held = file(mfs, path).await?;
            named(mfs.punch(held.ino(), u64::from(*at)..u64::from(*at + *len)).await)
        }
        Op::Copy(from, to) => {
            let from = at(mfs, from).await?;
            let (above, name) = place(mfs, to).await?;
            named(mfs.copy(from.ino(), above.ino(), name).await)
        }
        Op::CopyRange(from, at, len, to, to_at) => {
            let (from, to) = (file(mfs, from).await?, file(mfs, to).await?);
            let range = u64::from(*at)..u64::from(*at + *len);
            named(mfs.copy_range(from.ino(), range, to.ino(), (*to_at).into()).await).map(drop)
        }
        Op::Flush(path) => {
            let held = at(mfs, path).await?;
            named(mfs.flush(held.ino()).await).map(drop)
        }
        Op::Read(_) | Op::Sync | Op::Crash => Ok(()),
    }
}

async fn run(ops: Vec<Op>, options: Options) {
    let profile = options.profile;
    let mut world = World::new(options).await;
    let mut model = Model::default();
    let mut synced = Model::default();
    for (number, op) in ops.iter().chain([&Op::Sync, &Op::Crash]).enumerate() {
        match op {
            Op::Sync => {
                let root = world.mfs.sync().await.expect("syncs");
                assert_eq!(stored(&world.blocks, &root).await, model.0, "after {number}: {op:?}");
                assert_eq!(root, model.added(&profile), "after {number}: {op:?}");
                assert_eq!(world.mfs.stats().dirty_inodes, 0);
                synced = model.clone();
            }
            Op::Crash => {
                world = world.after_power_cut(options).await;
                model = synced.clone();
                assert_eq!(look(&world.mfs).await, model.0, "after {number}: {op:?}");
            }
            op => {
                let (done, expected) = step(&world.mfs, &mut model, op).await;
                assert_eq!(done, expected, "{number}: {op:?}");
            }
        }
    }
    assert_eq!(look(&world.mfs).await, model.0);
    assert_eq!(world.mfs.stats().dirty_bytes, 0);
}

fn in_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_tree_does_what_the_model_does(
        ops in ops(),
        raw_leaves in any::<bool>(),
        // Everything is written back at once, or nothing.
        dirty_max in prop_oneof![Just(0u64), Just(1 << 20)],
        // What lies behind a writer is stored at once, or stays.
        lot in prop_oneof![Just(1u64), Just(1 << 20)],
    ) {
        let options = Options { dirty_max, lot, margin: 0, ..options(Profile { raw_leaves, ..small() }) };
        in_runtime(run(ops, options));
    }

    #[test]
    fn and_with_the_usual_profile(ops in ops()) {
        let profile = Profile { chunker: ChunkerSpec::Size(64), ..Profile::unixfs_v0_2015() };
        in_runtime(run(ops, options(profile)));
    }
}
