//! Codecs: how blocks encode data and links.

pub mod pb;
