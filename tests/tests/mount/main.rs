//! The network as a folder: the program's own mounts, in processes of their own.

mod crash;
mod life;
mod names;
mod network;
mod programs;
