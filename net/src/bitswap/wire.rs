//! The little of protobuf that Bitswap needs.

use super::message::MessageError;

/// Wire type of numbers.
pub(super) const VARINT: u64 = 0;
/// Wire type of what has a length.
pub(super) const BYTES: u64 = 2;

/// The value of a field; fixed-width ones are skipped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Goes through the fields of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field: its number and value.
    pub(super) fn next_field(&mut self) -> Result<Option<(u64, Value<'a>)>, MessageError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            VARINT => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            BYTES => {
                let len = usize::try_from(self.varint()?).map_err(|_| MessageError("a length beyond memory"))?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(MessageError("a wire type that is not in use")),
        };
        if key >> 3 == 0 {
            return Err(MessageError("field number 0"));
        }
        Ok(Some((key >> 3, value)))
    }

    /// Ten bytes at most; bits over 64 are dropped, as protobuf readers do.
    fn varint(&mut self) -> Result<u64, MessageError> {
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32).unwrap_or(0);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(MessageError("a number without end"))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], MessageError> {
        if len > self.rest.len() {
            return Err(MessageError("it ends inside a field"));
        }
        let (body, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(body)
    }
}

pub(super) fn put_raw_varint(out: &mut Vec<u8>, n: u64) {
    let mut buffer = unsigned_varint::encode::u64_buffer();
    out.extend_from_slice(unsigned_varint::encode::u64(n, &mut buffer));
}

pub(super) fn put_key(out: &mut Vec<u8>, field: u64, wire: u64) {
    put_raw_varint(out, field << 3 | wire);
}

/// A number; 0 is the default and is left out.
pub(super) fn put_varint(out: &mut Vec<u8>, field: u64, n: u64) {
    if n != 0 {
        put_key(out, field, VARINT);
        put_raw_varint(out, n);
    }
}

pub(super) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_key(out, field, BYTES);
    put_raw_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
