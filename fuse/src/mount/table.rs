//! The system's table of mounts.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// A mount of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Where.
    pub dir: PathBuf,
    /// What it said that its source is.
    pub name: String,
    /// Number of its device: `major:minor`.
    pub(super) device: String,
}

/// The mounts of this program, by whichever process, in the order in which they were mounted.
///
/// # Errors
/// When the system has no such table.
pub fn mounted() -> io::Result<Vec<Mounted>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// The last one on that directory.
pub(super) fn find(dir: &Path) -> io::Result<Option<Mounted>> {
    Ok(mounted()?.into_iter().rev().find(|mounted| mounted.dir == dir))
}

fn parse(table: &[u8]) -> Vec<Mounted> {
    table.split(|&b| b == b'\n').filter_map(line).collect()
}

/// `36 35 98:0 /root /dir rw,noatime shared:1 - fuse.cairn name rw`
fn line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|&b| b == b' ');
    let device = String::from_utf8(fields.nth(2)?.to_vec()).ok()?;
    let dir = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let ours = rest.next()? == b"fuse.cairn";
    let name = String::from_utf8_lossy(&unescape(rest.next()?)).into_owned();
    ours.then_some(Mounted { dir, name, device })
}

/// Blanks, tabs, line ends and backslashes stand as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| first == b'\\');
        let value = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match value {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_mounts_are_found_in_the_table() {
        let table = b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            85 22 0:44 / /tmp/with\\040blank rw,nosuid shared:3 master:1 - fuse.cairn /home/x/.cairn rw,user_id=0\n\
            86 22 0:45 / /mnt rw - fuse.sshfs host: rw\n";
        let expected = Mounted { dir: "/tmp/with blank".into(), name: "/home/x/.cairn".into(), device: "0:44".into() };
        assert_eq!(parse(table), [expected]);
        assert_eq!(unescape(br"a\\b\134\0"), br"a\\b\\0");
    }
}
