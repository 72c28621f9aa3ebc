//! The key of a private swarm: `swarm.key` in the repository, in go-libp2p's format.
//!
//! Three lines: `/key/swarm/psk/1.0.0/`, the encoding (`/base16/`, `/base64/` or `/bin/`), and 32 bytes in it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libp2p::pnet::PreSharedKey;
use std::{io::Read as _, path::Path};

/// Name of the file in the repository.
pub const FILE: &str = "swarm.key";
/// Set to `1`, a node refuses to start without a key.
pub const FORCE: &str = "LIBP2P_FORCE_PNET";
const HEADER: &[u8] = b"/key/swarm/psk/1.0.0/";
const KEY_BYTES: usize = 32;
/// A key file is at most 91 bytes long; this leaves room for line ends.
const MAX_FILE: u64 = 1024;

/// What is wrong with the key of a private swarm. None of these starts a node: a private node that comes up in the
/// public network by mistake can't take back what it said there.
#[derive(Debug, thiserror::Error)]
pub enum PnetError {
    /// The file can't be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no key.
    #[error("{path} is no key of a private swarm: {why}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// There has to be a key, and there is none.
    #[error("{FORCE} is set, but there is no {FILE} in the repository: put the key there, or unset {FORCE}")]
    Forced,
}

/// Reads a key file.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &[u8]) -> Result<PreSharedKey, &'static str> {
    let (header, rest) = line(text).ok_or("it is empty")?;
    if header != HEADER {
        return Err("the first line must be /key/swarm/psk/1.0.0/");
    }
    let (encoding, rest) = line(rest).ok_or("the second line must be /base16/, /base64/ or /bin/")?;
    let bytes = match encoding {
        b"/base16/" => {
            data_encoding::HEXLOWER_PERMISSIVE.decode(rest.trim_ascii()).map_err(|_| "the key is not hexadecimal")?
        }
        b"/base64/" => STANDARD.decode(rest.trim_ascii()).map_err(|_| "the key is not base64")?,
        b"/bin/" => rest.get(..KEY_BYTES).ok_or("the key must have 32 bytes")?.to_vec(),
        _ => return Err("the second line must be /base16/, /base64/ or /bin/"),
    };
    let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| "the key must have 32 bytes")?;
    Ok(PreSharedKey::new(key))
}

fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
    let rest = text.get(end + 1..).unwrap_or_default();
    let line = &text[..end];
    (!line.is_empty()).then(|| (line.strip_suffix(b"\r").unwrap_or(line), rest))
}

/// The key in a repository, if it has one. `forced` says whether it must.
///
/// # Errors
/// When there is a file that holds no key, or none where one is a must.
pub fn load(repo: &Path, forced: bool) -> Result<Option<PreSharedKey>, PnetError> {
    let path = repo.join(FILE);
    let name = path.display().to_string();
    let mut text = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text));
    match read {
        Ok(_) => parse(&text).map(Some).map_err(|why| PnetError::Format { path: name, why }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && forced => Err(PnetError::Forced),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PnetError::Read { path: name, source }),
    }
}

/// Whether [`FORCE`] asks for a private swarm.
pub fn is_forced() -> bool {
    std::env::var(FORCE).is_ok_and(|value| value == "1")
}

/// Whether the nodes of that repository keep to a private swarm.
pub fn is_private(repo: &Path) -> bool {
    is_forced() || repo.join(FILE).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str =
        "/key/swarm/psk/1.0.0/\n/base16/\n000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

    fn bytes() -> [u8; 32] {
        std::array::from_fn(|i| u8::try_from(i).expect("below 32"))
    }

    #[test]
    fn the_three_encodings_are_one_key() {
        let want = PreSharedKey::new(bytes());
        let base64 = format!("/key/swarm/psk/1.0.0/\n/base64/\n{}", STANDARD.encode(bytes()));
        let binary = [b"/key/swarm/psk/1.0.0/\n/bin/\n".as_slice(), &bytes()].concat();
        let windows = HEX.replace('\n', "\r\n");
        for text in [HEX.as_bytes(), base64.as_bytes(), &binary, windows.as_bytes()] {
            assert_eq!(parse(text).expect("a key").to_key_file(), want.to_key_file());
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let short = HEX.replace("1e1f", "");
        for text in [
            "",
            "/key/swarm/psk/2.0.0/\n/base16/\n00",
            "/key/swarm/psk/1.0.0/\n",
            "/key/swarm/psk/1.0.0/\n/base16/\nzz",
            &short,
            "/key/swarm/psk/1.0.0/\n/bin/\nabc",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_that_must_be_there_is_missed() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(load(dir.path(), false).expect("no key is fine").is_none());
        assert!(matches!(load(dir.path(), true), Err(PnetError::Forced)));
        std::fs::write(dir.path().join(FILE), "nothing").expect("written");
        assert!(matches!(load(dir.path(), false), Err(PnetError::Format { .. })));
        std::fs::write(dir.path().join(FILE), HEX).expect("written");
        assert!(load(dir.path(), true).expect("a key").is_some());
    }
}
