//! Between the kernel and the file system.
//!
//! `fuser` mounts, agrees with the kernel on the protocol, and carries notifications. Requests are read here: threads, each
//! with a queue of its own in the kernel (`clone_fd`), hand each request to the runtime and go on. A request that can be
//! answered at once is answered by its thread. `fuser`'s own loop has no answer to `FUSE_INTERRUPT`, so that nobody could
//! give up waiting for a block, and no word for the type of an entry that is not known, so that a listing would have to
//! fetch what it lists.
//!
//! | Module | Says |
//! |---|---|
//! | `request`, `reply` | the protocol, in and out |
//! | `device` | reading and answering |
//! | `pending`, `signals` | signals for those who wait |
//! | `dispatch` | which request is which method of the file system |
//! | `session` | mounting, threads, notifications |

mod device;
mod dispatch;
mod pending;
mod reply;
mod request;
mod session;
mod signals;

pub(crate) use session::{Session, SessionOptions};
