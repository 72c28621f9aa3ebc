//! Test bytes: the ChaCha20 keystream with key = sha256(seed), zero nonce and counter.
//!
//! The golden vectors are defined on them. They do not compress, so they stand in a database file as they are.

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};

/// The first `len` bytes of a seed's keystream.
pub fn bytes(seed: &str, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    cipher(seed).apply_keystream(&mut out);
    out
}

/// The first `len` bytes of a seed's keystream, made as they are read.
pub fn reader(seed: &str, len: u64) -> impl Read + Send + 'static {
    Keystream(cipher(seed)).take(len)
}

fn cipher(seed: &str) -> ChaCha20 {
    let key: [u8; 32] = Sha256::digest(seed.as_bytes()).into();
    ChaCha20::new(&key.into(), &[0; 12].into())
}

struct Keystream(ChaCha20);

impl Read for Keystream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        buf.fill(0);
        self.0.apply_keystream(buf);
        Ok(buf.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gives_the_same_bytes_as_one_call() {
        let mut read = Vec::new();
        reader("seed", 100_000).read_to_end(&mut read).expect("memory does not fail");
        assert_eq!(read, bytes("seed", 100_000));
        assert_ne!(bytes("seed", 64), bytes("dees", 64));
    }
}
