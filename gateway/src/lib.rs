//! The IPFS HTTP gateway: paths, subdomains, DNSLink and trustless responses over any source of blocks and names.
//!
//! It is given a [`Backend`] and knows neither libp2p nor the repository, so it runs in a test on a store in memory.
//! [`Gateway::respond`] makes a response of a request's head; [`serve`](serve::serve) accepts connections.
//!
//! | Module | Says |
//! |---|---|
//! | `head`, `query`, `format`, `condition` | what a request asks for |
//! | `host`, `label` | what its host means: paths, subdomains, websites |
//! | `content` | where its path leads, and who answers |
//! | `file`, `directory`, `block`, `car`, `tar`, `codec`, `record` | one kind of response each |
//! | `website`, `redirects` | what a website wants done with paths that it does not have |
//! | `deny`, `watch` | what is not served, and which block is being waited for |
//! | `reply`, `cors`, `problem`, `pages`, `body`, `stream`, `share`, `media` | what responses are made of |
//! | `limits`, `serve`, `metrics` | many clients at once |

mod address;
pub mod backend;
mod block;
pub mod body;
pub mod car;
mod codec;
mod condition;
pub mod config;
mod content;
mod cors;
pub mod deny;
mod directory;
mod file;
mod format;
pub mod gateway;
mod head;
mod host;
mod label;
mod limits;
mod media;
pub mod metrics;
pub mod pages;
mod problem;
mod query;
mod record;
pub mod redirects;
mod reply;
pub mod serve;
mod share;
mod stream;
mod tar;
#[cfg(test)]
mod tests;
mod watch;
mod website;

pub use backend::Backend;
pub use body::Body;
pub use config::Config;
pub use gateway::Gateway;
