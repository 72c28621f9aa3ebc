//! UnixFS: files, directories and symlinks as DAGs (specification: specs.ipfs.tech/unixfs).

pub mod node;
