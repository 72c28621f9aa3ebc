//! IPNS records made by hand, after the IPNS specification (2025-02-28): each field can be as a test wants it.

use cid::{Cid, multibase::Base, multihash::Multihash};
use libp2p::identity::Keypair;
use sha2::{Digest as _, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Codec of CIDs of keys.
pub const LIBP2P_KEY: u64 = 0x72;
/// Hash code of data that stands in the CID itself.
const IDENTITY: u64 = 0;
/// What the second signature covers before the document.
const PREFIX: &[u8] = b"ipns-signature:";

/// A key of a name.
#[derive(Debug, Clone)]
pub struct Key(Keypair);

/// What a record says.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where the name points.
    pub value: String,
    /// Its version.
    pub sequence: u64,
    /// How long it may be kept.
    pub ttl: Duration,
    /// When it ends.
    pub end: SystemTime,
    /// Whether it has the fields of version 1 too.
    pub v1: bool,
    /// Whether it has those of version 2.
    pub v2: bool,
}

impl Record {
    /// A record of both versions that is valid for a day.
    pub fn new(value: impl Into<String>, ttl: Duration) -> Self {
        let end = SystemTime::now() + Duration::from_secs(86_400);
        Self { value: value.into(), sequence: 1, ttl, end, v1: true, v2: true }
    }
}

impl Key {
    /// The Ed25519 key of a seed.
    ///
    /// # Panics
    /// Never: every 32 bytes are a key.
    pub fn new(seed: &str) -> Self {
        let secret: [u8; 32] = Sha256::digest(seed.as_bytes()).into();
        Self(Keypair::ed25519_from_bytes(secret).expect("32 bytes are a key"))
    }

    /// The CID of its name with another codec.
    ///
    /// # Panics
    /// Never: an Ed25519 key fits into a CID.
    pub fn cid(&self, codec: u64) -> Cid {
        let key = self.0.public().encode_protobuf();
        Cid::new_v1(codec, Multihash::wrap(IDENTITY, &key).expect("36 bytes fit"))
    }

    /// Its name: base36.
    pub fn name(&self) -> String {
        text(&self.cid(LIBP2P_KEY), Base::Base36Lower)
    }

    /// Its peer ID: base58.
    pub fn peer_id(&self) -> String {
        Base::Base58Btc.encode(self.cid(LIBP2P_KEY).hash().to_bytes())
    }

    /// A record as it goes over the wire.
    ///
    /// # Panics
    /// Never: an Ed25519 key can sign everything.
    pub fn sign(&self, record: &Record) -> Vec<u8> {
        let sign = |bytes: &[u8]| self.0.sign(bytes).expect("it can sign");
        let end = rfc3339(record.end);
        let ttl = u64::try_from(record.ttl.as_nanos()).unwrap_or(u64::MAX);
        let mut out = Vec::new();
        if record.v1 {
            bytes_field(&mut out, 1, record.value.as_bytes());
            let signed = [record.value.as_bytes(), end.as_bytes(), b"0"].concat();
            bytes_field(&mut out, 2, &sign(&signed));
            number_field(&mut out, 3, 0);
            bytes_field(&mut out, 4, end.as_bytes());
            number_field(&mut out, 5, record.sequence);
            number_field(&mut out, 6, ttl);
        }
        if record.v2 {
            let data = document(record, &end, ttl);
            bytes_field(&mut out, 8, &sign(&[PREFIX, &data].concat()));
            bytes_field(&mut out, 9, &data);
        }
        out
    }
}

/// A CID in a base.
///
/// # Panics
/// When it is version 0 and the base is not base58.
pub fn text(cid: &Cid, base: Base) -> String {
    cid.to_string_of_base(base).expect("version 1 has every base")
}

/// The DAG-CBOR document: keys by length, then by their bytes.
fn document(record: &Record, end: &str, ttl: u64) -> Vec<u8> {
    let mut out = vec![0xa5];
    let number = |out: &mut Vec<u8>, key: &str, value: u64| {
        head(out, 3, key.len() as u64);
        out.extend_from_slice(key.as_bytes());
        head(out, 0, value);
    };
    let bytes = |out: &mut Vec<u8>, key: &str, value: &[u8]| {
        head(out, 3, key.len() as u64);
        out.extend_from_slice(key.as_bytes());
        head(out, 2, value.len() as u64);
        out.extend_from_slice(value);
    };
    number(&mut out, "TTL", ttl);
    bytes(&mut out, "Value", record.value.as_bytes());
    number(&mut out, "Sequence", record.sequence);
    bytes(&mut out, "Validity", end.as_bytes());
    number(&mut out, "ValidityType", 0);
    out
}

/// The head of a CBOR item, as short as it can be.
fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xff => out.extend([major | 24, value as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(value.to_be_bytes());
        }
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn number_field(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

/// Year, month, day, hour, minute and second of a time in UTC.
fn civil(time: SystemTime) -> (i64, u64, u64, u64, u64, u64) {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March 0000, so that the leap day is the last of its year; in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = (era * 400 + year) as i64 + i64::from(month <= 2);
    (year, month, date, second / 3600, second / 60 % 60, second % 60)
}

/// `2026-11-21T19:00:00.000000000Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let (year, month, day, hour, minute, second) = civil(time);
    let nanos = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// `Sat, 21 Nov 2026 19:00:00 GMT`.
pub fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second) = civil(time);
    let days = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()) / 86_400;
    let (week, month) = (DAYS[(days % 7) as usize], MONTHS[(month - 1) as usize]);
    format!("{week}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_standards_say() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(http_date(at(1_700_000_000)), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(http_date(at(951_782_400)), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(http_date(at(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(rfc3339(at(784_111_777) + Duration::from_nanos(5)), "1994-11-06T08:49:37.000000005Z");
    }

    #[test]
    fn a_name_is_a_cid_in_base36() {
        let key = Key::new("a");
        assert!(key.name().starts_with("k51qzi5uqu5d") && key.peer_id().starts_with("12D3KooW"), "{}", key.name());
        let signed = key.sign(&Record::new("/ipfs/bafkqaaa", Duration::from_secs(60)));
        assert!(signed.len() < 10 << 10);
    }
}
