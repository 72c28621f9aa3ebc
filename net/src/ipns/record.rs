//! IPNS records: making, signing, writing and reading them (specification: specs.ipfs.tech/ipns/ipns-record).
//!
//! A record is a protobuf. What counts is its field `data`, a map in dag-cbor, and `signatureV2` over it. The fields
//! of version 1 repeat what the map says, for old readers; they are never believed ([`super::validate`]).

use super::{Name, RecordError, Timestamp};
use crate::{
    keystore::PrivateKey,
    protobuf::{self, Fields, Value},
};
use bytes::Bytes;
use cairn_store::{
    dag::{Ipld, cbor},
    path::Path,
};
use libp2p::identity::PublicKey;
use std::time::Duration;

/// Most bytes of a record.
pub const MAX_RECORD: usize = 10 << 10;
/// How long a record is valid where nothing else is said: as long as the DHT keeps it.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(48 * 3600);
/// How long an answer may be kept where nothing else is said.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// What an empty value stands for: a path to zero bytes.
const EMPTY_VALUE: &str = "/ipfs/bafkqaaa";
/// What stands before the data that is signed.
const SIGNATURE_PREFIX: &[u8] = b"ipns-signature:";

/// Fields of the protobuf.
mod field {
    pub const VALUE: u8 = 1;
    pub const SIGNATURE_V1: u8 = 2;
    pub const VALIDITY_TYPE: u8 = 3;
    pub const VALIDITY: u8 = 4;
    pub const SEQUENCE: u8 = 5;
    pub const TTL: u8 = 6;
    pub const PUBLIC_KEY: u8 = 7;
    pub const SIGNATURE_V2: u8 = 8;
    pub const DATA: u8 = 9;
}

/// What a record repeats for readers of version 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct V1 {
    pub value: Bytes,
    pub signature: Bytes,
    pub validity_type: u64,
    pub validity: Bytes,
    pub sequence: u64,
    pub ttl: u64,
}

impl V1 {
    /// Whether the record has a part of version 1.
    pub(super) fn is_there(&self) -> bool {
        !self.signature.is_empty() || !self.value.is_empty()
    }
}

/// What a new record says.
#[derive(Debug, Clone)]
pub struct Content<'a> {
    /// Where the name points, usually a content path.
    pub value: &'a str,
    /// The number of this version; the record with the highest one counts.
    pub sequence: u64,
    /// When it stops being valid.
    pub eol: Timestamp,
    /// How long an answer may be kept.
    pub ttl: Duration,
    /// Whether to add the fields of version 1.
    pub v1: bool,
}

/// A record. It is well-formed; whether it is valid says [`super::validate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    bytes: Bytes,
    data: Bytes,
    map: Ipld,
    public_key: Bytes,
    signature: Bytes,
    v1: V1,
}

impl Record {
    /// Makes and signs a record.
    ///
    /// # Errors
    /// [`RecordError::Size`] when it is longer than [`MAX_RECORD`], [`RecordError::Malformed`] when the sequence
    /// number is over 63 bits, [`RecordError::Key`] when the key can't sign.
    pub fn new(key: &PrivateKey, content: &Content<'_>) -> Result<Self, RecordError> {
        let sequence = i64::try_from(content.sequence)
            .map_err(|_| RecordError::Malformed("a sequence number over 63 bits".into()))?;
        let ttl = i64::try_from(content.ttl.as_nanos()).unwrap_or(i64::MAX);
        let (value, validity) = (Bytes::copy_from_slice(content.value.as_bytes()), content.eol.to_string());
        let map = Ipld::Map(vec![
            ("TTL".into(), Ipld::Int(ttl.into())),
            ("Value".into(), Ipld::Bytes(value.clone())),
            ("Sequence".into(), Ipld::Int(sequence.into())),
            ("Validity".into(), Ipld::Bytes(validity.clone().into())),
            ("ValidityType".into(), Ipld::Int(0)),
        ]);
        let data = cbor::encode(&map).map_err(|e| RecordError::Malformed(e.to_string()))?;
        let sign = |bytes: &[u8]| key.sign(bytes).map(Bytes::from).map_err(|e| RecordError::Key(e.to_string()));
        let signature = sign(&[SIGNATURE_PREFIX, &data].concat())?;
        let v1 = if content.v1 {
            // Readers of version 1 check these three, the type by its name.
            let signed = [content.value.as_bytes(), validity.as_bytes(), b"EOL"].concat();
            V1 {
                value,
                signature: sign(&signed)?,
                validity_type: 0,
                validity: validity.into(),
                sequence: content.sequence,
                ttl: ttl.unsigned_abs(),
            }
        } else {
            V1::default()
        };
        let inlined = Name::from(key.peer_id()).public_key().is_some();
        let public_key = if inlined { Bytes::new() } else { key.public().encode_protobuf().into() };
        let mut record = Self { bytes: Bytes::new(), data, map, public_key, signature, v1 };
        record.bytes = record.encode(content.v1).into();
        if record.bytes.len() > MAX_RECORD {
            return Err(RecordError::Size);
        }
        Ok(record)
    }

    fn encode(&self, v1: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        if v1 {
            protobuf::push_bytes(&mut out, field::VALUE, &self.v1.value);
            protobuf::push_bytes(&mut out, field::SIGNATURE_V1, &self.v1.signature);
            protobuf::push_number(&mut out, field::VALIDITY_TYPE, self.v1.validity_type);
            protobuf::push_bytes(&mut out, field::VALIDITY, &self.v1.validity);
            protobuf::push_number(&mut out, field::SEQUENCE, self.v1.sequence);
            protobuf::push_number(&mut out, field::TTL, self.v1.ttl);
        }
        if !self.public_key.is_empty() {
            protobuf::push_bytes(&mut out, field::PUBLIC_KEY, &self.public_key);
        }
        protobuf::push_bytes(&mut out, field::SIGNATURE_V2, &self.signature);
        protobuf::push_bytes(&mut out, field::DATA, &self.data);
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError::Size`] when it is longer than [`MAX_RECORD`], [`RecordError::Malformed`] when it is no
    /// protobuf, or has no data, or data that is no map.
    pub fn parse(bytes: &Bytes) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::Size);
        }
        let mut record = Self {
            bytes: bytes.clone(),
            data: Bytes::new(),
            map: Ipld::Null,
            public_key: Bytes::new(),
            signature: Bytes::new(),
            v1: V1::default(),
        };
        let mut fields = Fields::new(bytes);
        while let Some((number, value)) = fields.next().map_err(|e| RecordError::Malformed(e.to_string()))? {
            // A field of another type than it should have is an unknown one.
            let Ok(number) = u8::try_from(number) else { continue };
            let v1 = &mut record.v1;
            match (number, value) {
                (field::VALIDITY_TYPE, Value::Number(number)) => v1.validity_type = number,
                (field::SEQUENCE, Value::Number(number)) => v1.sequence = number,
                (field::TTL, Value::Number(number)) => v1.ttl = number,
                (_, Value::Bytes(slice)) => {
                    let target = match number {
                        field::VALUE => &mut v1.value,
                        field::SIGNATURE_V1 => &mut v1.signature,
                        field::VALIDITY => &mut v1.validity,
                        field::PUBLIC_KEY => &mut record.public_key,
                        field::SIGNATURE_V2 => &mut record.signature,
                        field::DATA => &mut record.data,
                        _ => continue,
                    };
                    *target = bytes.slice_ref(slice);
                }
                _ => {}
            }
        }
        if record.data.is_empty() {
            return Err(RecordError::Malformed("record is missing the dag-cbor data field".into()));
        }
        record.map = cbor::decode(&record.data).map_err(|e| RecordError::Malformed(e.to_string()))?;
        if !matches!(record.map, Ipld::Map(_)) {
            return Err(RecordError::Malformed("its data is not a map".into()));
        }
        Ok(record)
    }

    /// The record as it is stored and sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The signed data, in dag-cbor.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The signature over [`Record::signed`].
    pub fn signature(&self) -> &Bytes {
        &self.signature
    }

    /// What the signature is over.
    pub(super) fn signed(&self) -> Vec<u8> {
        [SIGNATURE_PREFIX, &self.data].concat()
    }

    pub(super) fn v1(&self) -> &V1 {
        &self.v1
    }

    /// Whether it has the fields of version 1.
    pub fn has_v1(&self) -> bool {
        self.v1.is_there()
    }

    /// The public key that it carries, if any.
    ///
    /// # Errors
    /// [`RecordError::Key`] when the bytes are no key.
    pub fn public_key(&self) -> Result<Option<PublicKey>, RecordError> {
        if self.public_key.is_empty() {
            return Ok(None);
        }
        PublicKey::try_decode_protobuf(&self.public_key).map(Some).map_err(|e| RecordError::Key(e.to_string()))
    }

    fn field(&self, name: &str) -> Result<&Ipld, RecordError> {
        self.map.get(name).ok_or_else(|| RecordError::Malformed(format!("it has no field {name:?}")))
    }

    pub(super) fn bytes_of(&self, name: &str) -> Result<&Bytes, RecordError> {
        match self.field(name)? {
            Ipld::Bytes(bytes) => Ok(bytes),
            other => Err(RecordError::Malformed(format!("field {name:?} is {} and not bytes", other.kind()))),
        }
    }

    pub(super) fn int_of(&self, name: &str) -> Result<i64, RecordError> {
        let malformed = || RecordError::Malformed(format!("field {name:?} is no integer of 64 bits"));
        match self.field(name)? {
            Ipld::Int(number) => i64::try_from(*number).map_err(|_| malformed()),
            _ => Err(malformed()),
        }
    }

    /// Where the name points.
    ///
    /// # Errors
    /// [`RecordError::Path`] when that is no content path.
    pub fn value(&self) -> Result<Path, RecordError> {
        let value = self.bytes_of("Value")?;
        let refuse = |why: String| RecordError::Path(why);
        match value.first() {
            None => Path::parse_strict(EMPTY_VALUE).map_err(|e| refuse(e.to_string())),
            Some(b'/') => {
                let text = std::str::from_utf8(value).map_err(|e| refuse(e.to_string()))?;
                Path::parse_strict(text).map_err(|e| refuse(e.to_string()))
            }
            // Some old writers put a binary CID here.
            Some(_) => cairn_store::cid::from_bytes(value).map(|cid| Path::from_cid(&cid)).map_err(refuse),
        }
    }

    /// The kind of validity: 0 is "until".
    ///
    /// # Errors
    /// [`RecordError::Malformed`] when there is none.
    pub fn validity_type(&self) -> Result<i64, RecordError> {
        self.int_of("ValidityType")
    }

    /// When it stops being valid.
    ///
    /// # Errors
    /// [`RecordError::ValidityType`] for another kind of validity, [`RecordError::Validity`] when it is no time.
    pub fn eol(&self) -> Result<Timestamp, RecordError> {
        if self.validity_type()? != 0 {
            return Err(RecordError::ValidityType);
        }
        let text = std::str::from_utf8(self.bytes_of("Validity")?).map_err(|_| RecordError::Validity)?;
        text.parse().map_err(|_| RecordError::Validity)
    }

    /// The number of this version.
    ///
    /// # Errors
    /// [`RecordError::Malformed`] when there is none.
    pub fn sequence(&self) -> Result<u64, RecordError> {
        // Go's writers keep 64 bits in a signed integer.
        self.int_of("Sequence").map(i64::cast_unsigned)
    }

    /// How long an answer may be kept, as the record says it.
    ///
    /// # Errors
    /// [`RecordError::Malformed`] when it says nothing, or a negative time.
    pub fn ttl(&self) -> Result<Duration, RecordError> {
        let nanos = self.int_of("TTL")?;
        u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| RecordError::Malformed("negative TTL".into()))
    }

    /// How long an answer may be kept from `now` on: no longer than the record is valid.
    pub fn cache_ttl(&self, now: Timestamp) -> Duration {
        self.ttl().unwrap_or(DEFAULT_TTL).min(self.valid_for(now))
    }

    /// How long it is valid from `now` on.
    pub fn valid_for(&self, now: Timestamp) -> Duration {
        self.eol().map_or(Duration::ZERO, |eol| eol.since(now))
    }
}
