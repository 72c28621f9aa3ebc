//! Which commands run in the daemon, and which where they are called.

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the daemon if there is one, else here.
    Anywhere,
    /// Here. It can't be asked for over HTTP.
    Here,
    /// In the daemon and nowhere else.
    Daemon,
    /// Wherever it is called, since it needs no repository.
    Alone,
    /// Here, with the blocks of the daemon, if there is one.
    WithBlocks,
}

/// All that are not [`Place::Anywhere`], with those below them. The first that fits counts.
const PLACES: &[(&[&str], Place)] = &[
    (&["init"], Place::Here),
    (&["daemon"], Place::Here),
    (&["gateway"], Place::Here),
    (&["completions"], Place::Here),
    (&["commands", "completion"], Place::Here),
    (&["commands", "man"], Place::Here),
    (&["config", "edit"], Place::Here),
    (&["files", "chroot"], Place::Here),
    (&["repo", "migrate"], Place::Here),
    (&["commands"], Place::Alone),
    (&["version"], Place::Alone),
    (&["cid"], Place::Alone),
    (&["multibase"], Place::Alone),
    (&["shutdown"], Place::Daemon),
    (&["log"], Place::Daemon),
    (&["diag", "cmds"], Place::Daemon),
    (&["diag", "profile"], Place::Daemon),
    (&["diag", "datastore"], Place::Here),
    (&["key", "export"], Place::Here),
    (&["get"], Place::WithBlocks),
];

/// Where the command of that path runs.
pub fn of<S: AsRef<str>>(path: &[S]) -> Place {
    let fits = |names: &[&str]| names.len() <= path.len() && names.iter().zip(path).all(|(a, b)| *a == b.as_ref());
    PLACES.iter().find(|(names, _)| fits(names)).map_or(Place::Anywhere, |(_, place)| *place)
}
