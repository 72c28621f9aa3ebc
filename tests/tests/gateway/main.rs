//! The HTTP gateway against its specifications, as tables of requirements: one file for each specification, and some for
//! what several of them share. The real program answers, started by an operator's commands.
//!
//! With `CAIRN_BIN` another program answers, such as Kubo's `ipfs`: that checks the tables. Rows where Kubo is known to
//! differ from the text, or to lack something, say so with `not_kubo`.

mod caching;
mod car;
mod codecs;
mod directories;
mod disposition;
mod dnslink;
mod formats;
mod head;
mod ipns_record;
mod operation;
mod path;
mod proxy;
mod range;
mod redirects;
mod subdomain;
mod table;
mod tar;
mod trustless;
mod world;
