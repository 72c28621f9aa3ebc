//! Reading files and directories, and writing them to disk: against models, and against hostile DAGs.

mod archive;
mod dirs;
mod extract;
mod files;
mod hostile;
mod resolve;
mod world;
