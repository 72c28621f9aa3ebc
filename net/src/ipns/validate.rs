//! Which records are valid, and which of several counts (specification: specs.ipfs.tech/ipns/ipns-record,
//! "record verification").

use super::{MAX_RECORD, Name, Record, Timestamp};
use crate::keystore::check_public;
use bytes::Bytes;
use libp2p::identity::PublicKey;
use std::cmp::Ordering;

/// Why a record, or a name, is refused. Texts are Kubo's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is longer than [`super::MAX_RECORD`].
    #[error("record exceeds allowed size limit")]
    Size,
    /// It can't be read.
    #[error("record is malformed: {0}")]
    Malformed(String),
    /// There is no signature of version 2, or it is not that of the key over the data.
    #[error("signature verification failed")]
    Signature,
    /// A field of version 1 says something else than the signed data.
    #[error("field {0:?} did not match between protobuf and CBOR")]
    Mismatch(&'static str),
    /// It was valid once.
    #[error("record is expired")]
    Expired,
    /// Its validity is of a kind that nobody has defined.
    #[error("record contains an unrecognized validity type")]
    ValidityType,
    /// Its end is no time.
    #[error("record contains an invalid validity")]
    Validity,
    /// It carries the key of another name.
    #[error("record public key does not match the expected public key")]
    KeyMismatch,
    /// The key is neither in the name nor in the record.
    #[error("public key not found: it is neither in the name nor in the record")]
    KeyNotFound,
    /// The key can't be used.
    #[error("public key invalid: {0}")]
    Key(String),
    /// Its value is no path.
    #[error("value is not a valid content path: {0}")]
    Path(String),
    /// The text or bytes are no name.
    #[error("{0}")]
    Name(String),
}

/// The key that a record has to be signed with: that in the record, which must be the name's, else that in the name.
///
/// # Errors
/// [`RecordError::KeyMismatch`], [`RecordError::KeyNotFound`] or [`RecordError::Key`].
pub fn public_key(record: &Record, name: Name) -> Result<PublicKey, RecordError> {
    let key = match record.public_key()? {
        Some(key) if Name::from(key.to_peer_id()) == name => key,
        Some(_) => return Err(RecordError::KeyMismatch),
        None => name.public_key().ok_or(RecordError::KeyNotFound)?,
    };
    check_public(&key).map_err(|e| RecordError::Key(e.to_string()))?;
    Ok(key)
}

/// Checks a record, but not whether it is still valid: that of a publisher who was away says which version was last.
///
/// # Errors
/// The first rule that is broken.
pub fn validate_at_any_time(record: &Record, name: Name) -> Result<(), RecordError> {
    let key = public_key(record, name)?;
    if record.signature().is_empty() || !key.verify(&record.signed(), record.signature()) {
        return Err(RecordError::Signature);
    }
    if record.has_v1() {
        compare_v1(record)?;
    }
    record.eol()?;
    record.sequence()?;
    // No TTL is a default; a negative one is nonsense.
    if record.int_of("TTL").is_ok_and(|ttl| ttl < 0) {
        return Err(RecordError::Malformed("negative TTL".into()));
    }
    Ok(())
}

/// Checks a record.
///
/// # Errors
/// The first rule that is broken.
pub fn validate(record: &Record, name: Name, now: Timestamp) -> Result<(), RecordError> {
    validate_at_any_time(record, name)?;
    if now > record.eol()? { Err(RecordError::Expired) } else { Ok(()) }
}

/// Reads and checks what stands under a routing key.
///
/// # Errors
/// As [`Record::parse`] and [`validate`].
pub fn parse_valid(bytes: &Bytes, name: Name, now: Timestamp) -> Result<Record, RecordError> {
    let record = Record::parse(bytes)?;
    validate(&record, name, now)?;
    Ok(record)
}

/// What stands before the multihash in a routing key for a public key.
pub(super) const PUBLIC_KEY_PREFIX: &[u8] = b"/pk/";

/// Checks a value for a routing key, `/ipns/…` or `/pk/…` with the bytes of a multihash: what a DHT may keep.
///
/// # Errors
/// [`RecordError::Name`] for any other key; else the first rule that is broken.
pub fn validate_value(key: &[u8], value: &Bytes, now: Timestamp) -> Result<(), RecordError> {
    match key.strip_prefix(PUBLIC_KEY_PREFIX) {
        Some(hash) => read_public_key(Name::from_bytes(hash)?, value).map(drop),
        None => parse_valid(value, Name::from_routing_key(key)?, now).map(drop),
    }
}

/// Which of two valid values of one routing key counts. `Greater`: the first. All public keys of a name are equal.
pub fn compare_values(key: &[u8], a: &Bytes, b: &Bytes) -> Ordering {
    match (key.starts_with(PUBLIC_KEY_PREFIX), Record::parse(a), Record::parse(b)) {
        (false, Ok(a), Ok(b)) => compare(&a, &b),
        (false, a, b) => a.is_ok().cmp(&b.is_ok()),
        (true, ..) => Ordering::Equal,
    }
}

/// Reads the public key of a name.
///
/// # Errors
/// [`RecordError::Size`], [`RecordError::Key`] or [`RecordError::KeyMismatch`].
pub(super) fn read_public_key(name: Name, bytes: &[u8]) -> Result<PublicKey, RecordError> {
    if bytes.len() > MAX_RECORD {
        return Err(RecordError::Size);
    }
    let key = PublicKey::try_decode_protobuf(bytes).map_err(|e| RecordError::Key(e.to_string()))?;
    check_public(&key).map_err(|e| RecordError::Key(e.to_string()))?;
    if Name::from(key.to_peer_id()) == name { Ok(key) } else { Err(RecordError::KeyMismatch) }
}

/// The fields of version 1 are not signed by what counts, so they must say the same.
fn compare_v1(record: &Record) -> Result<(), RecordError> {
    let v1 = record.v1();
    let same = |same: bool, field| if same { Ok(()) } else { Err(RecordError::Mismatch(field)) };
    same(record.bytes_of("Value")? == &v1.value, "Value")?;
    same(record.bytes_of("Validity")? == &v1.validity, "Validity")?;
    same(record.int_of("ValidityType")?.cast_unsigned() == v1.validity_type, "ValidityType")?;
    same(record.int_of("Sequence")?.cast_unsigned() == v1.sequence, "Sequence")?;
    same(record.int_of("TTL")?.cast_unsigned() == v1.ttl, "TTL")
}

/// Which of two valid records counts: that with the higher sequence number, then the later end, then the greater
/// bytes. `Greater`: the first.
pub fn compare(a: &Record, b: &Record) -> Ordering {
    let rank = |record: &Record| (record.sequence().ok(), record.eol().ok(), record.bytes().clone());
    rank(a).cmp(&rank(b))
}

/// The record that counts.
pub fn select(records: impl IntoIterator<Item = Record>) -> Option<Record> {
    records.into_iter().max_by(compare)
}
