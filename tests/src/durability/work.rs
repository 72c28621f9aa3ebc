//! Commands that change a repository, chosen from a seed.

use super::model::{Content, Model, Op, Part, Pin};
use crate::{harness::Node, keystream};
use rand::{Rng as _, rngs::StdRng, seq::IteratorRandom as _};
use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// Pinned objects that are kept at most, so that a full comparison stays quick.
const MAX_PINNED: usize = 24;
/// Unpinned objects that are remembered, to be pinned or added again.
const MAX_IDLE: usize = 8;
/// Files in a folder at most.
const MAX_FILES: usize = 12;
/// CAR files that are prepared.
const CARS: usize = 6;
/// Bytes in a file at least, so that no two seeds give the same file.
const SHORTEST: usize = 16;

/// A CAR file and what is in it.
#[derive(Debug, Clone)]
struct Car {
    path: PathBuf,
    root: String,
    content: Content,
}

/// Chooses commands and prepares their files.
pub struct Work {
    cars: Vec<Car>,
    dir: PathBuf,
    bulk: Range<usize>,
    serial: u64,
}

impl Work {
    /// Prepares CAR files with a node of its own, which nothing happens to. A few
    /// files, and one of the CAR files, have a length in `bulk`: beyond what is committed in one logged batch.
    ///
    /// # Panics
    /// When the directory can't be written or the program fails without provocation.
    pub fn new(dir: &Path, bulk: Range<usize>, rng: &mut StdRng) -> Self {
        let node = Node::new();
        let mut work = Self { cars: Vec::new(), dir: dir.to_owned(), bulk, serial: 0 };
        fs::create_dir_all(dir).expect("the work folder is writable");
        for number in 0..CARS {
            let content =
                if number == 0 { work.single(rng.random_range(work.bulk.clone()), rng) } else { work.content(rng) };
            let path = work.materialise(&content);
            let root = node.add(&["-r"], &path);
            let car = dir.join(format!("{root}.car"));
            fs::write(&car, node.bytes(["dag", "export", "--progress=false", &root]))
                .expect("the work folder is writable");
            work.cars.push(Car { path: car, root, content });
        }
        work
    }

    /// The next command and its arguments.
    pub fn choose(&mut self, model: &mut Model, rng: &mut StdRng) -> (Op, Vec<String>) {
        model.forget(MAX_IDLE);
        let pinned = model.objects.values().filter(|o| o.pin == Pin::Yes).count();
        let dice = rng.random_range(0..100);
        let op = match dice {
            _ if pinned > MAX_PINNED => some(model, rng, |o| o.pin == Pin::Yes).map(Op::PinRm),
            0..15 => some(model, rng, |o| o.pin == Pin::Yes).map(Op::PinRm),
            15..30 => some(model, rng, |o| o.pin == Pin::No && o.stored).map(Op::PinAdd),
            30..45 => Some(Op::Gc),
            45..60 => self.cars.iter().choose(rng).map(|car| Op::Import {
                root: car.root.clone(),
                content: car.content.clone(),
                pin: dice < 56,
            }),
            60..66 => some(model, rng, |o| o.pin == Pin::No)
                .and_then(|cid| model.objects.get(&cid))
                .map(|o| Op::Add { content: o.content.clone(), pin: true }),
            _ => None,
        };
        let op = op.unwrap_or_else(|| Op::Add { content: self.content(rng), pin: rng.random_ratio(4, 5) });
        let args = self.arguments(&op);
        (op, args)
    }

    fn arguments(&self, op: &Op) -> Vec<String> {
        let words: Vec<String> = match op {
            Op::Add { content, pin } => {
                let path = self.materialise(content);
                vec!["add".into(), "-Q".into(), "-r".into(), format!("--pin={pin}"), text(&path)]
            }
            Op::PinAdd(cid) => vec!["pin".into(), "add".into(), cid.clone()],
            Op::PinRm(cid) => vec!["pin".into(), "rm".into(), cid.clone()],
            Op::Gc => vec!["repo".into(), "gc".into(), "-q".into()],
            Op::Import { root, pin, .. } => {
                let car = self.cars.iter().find(|c| c.root == *root).map_or_else(PathBuf::new, |c| c.path.clone());
                vec!["dag".into(), "import".into(), format!("--pin-roots={pin}"), text(&car)]
            }
        };
        words
    }

    /// Mostly small, as a crash is likelier between two commits than inside a long write.
    fn content(&mut self, rng: &mut StdRng) -> Content {
        if rng.random_ratio(1, 4) {
            let files = rng.random_range(1..=MAX_FILES);
            let serial = self.serial(rng);
            let file = |i| Part {
                suffix: format!("/f{i}"),
                seed: format!("{serial:x}-{i}"),
                len: rng.random_range(SHORTEST..40_000),
            };
            return Content((0..files).map(file).collect());
        }
        let len = match rng.random_range(0..100) {
            0..50 => rng.random_range(SHORTEST..5_000),
            50..97 => rng.random_range(5_000..300_000),
            _ => rng.random_range(self.bulk.clone()),
        };
        self.single(len, rng)
    }

    fn single(&mut self, len: usize, rng: &mut StdRng) -> Content {
        let seed = format!("{:x}", self.serial(rng));
        Content(vec![Part { suffix: String::new(), seed, len }])
    }

    /// Never the same twice, so that no content is.
    fn serial(&mut self, rng: &mut StdRng) -> u64 {
        self.serial += 1;
        (rng.random::<u64>() << 32) | self.serial
    }

    /// Writes content to the disk and says where. Only the latest is kept.
    fn materialise(&self, content: &Content) -> PathBuf {
        let path = self.dir.join("content");
        // One of the two is right, and neither matters when nothing is there yet.
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        let folder = content.is_folder() || content.0.is_empty();
        if folder {
            fs::create_dir(&path).expect("the work folder is writable");
        }
        for part in &content.0 {
            let file = PathBuf::from(format!("{}{}", path.display(), part.suffix));
            fs::write(file, keystream::bytes(&part.seed, part.len)).expect("the work folder is writable");
        }
        path
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn some(model: &Model, rng: &mut StdRng, want: impl Fn(&super::model::Object) -> bool) -> Option<String> {
    model.objects.iter().filter(|(_, o)| want(o)).map(|(cid, _)| cid.clone()).choose(rng)
}

/// The CID that a command acknowledged by what it printed, complete to the line's end; `None` when it has not.
/// Printing is acknowledging: what a user was shown may be relied upon, whatever becomes of the process.
pub fn acknowledged(op: &Op, stdout: &[u8], exited_well: bool) -> Option<String> {
    let text = String::from_utf8_lossy(stdout);
    let lines = || text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n'));
    let has = |start: &str, cid: &str| lines().any(|l| l.starts_with(start) && l.contains(cid)).then(|| cid.to_owned());
    match op {
        Op::Add { .. } => lines().next().map(str::to_owned),
        Op::PinAdd(cid) => has("pinned ", cid),
        Op::PinRm(cid) => has("unpinned ", cid),
        Op::Import { root, pin: true, .. } => {
            lines().any(|l| l.contains(root.as_str()) && l.contains("success")).then(|| root.clone())
        }
        Op::Import { root, pin: false, .. } => exited_well.then(|| root.clone()),
        Op::Gc => exited_well.then(String::new),
    }
}
