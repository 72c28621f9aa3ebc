//! The little of protobuf that keys, records and messages need: fields of varints and of bytes.

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Number(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5: no field known here has them.
    Fixed,
}

/// Bytes that are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse invalid wire-format data")]
pub(crate) struct Malformed;

/// Fields of a message in their order. The input is not copied, and nothing is allocated.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field: its number and value; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        match tag >> 3 {
            0 => Err(Malformed),
            field => Ok(Some((field, value))),
        }
    }

    /// At most ten bytes, of which the last holds one bit.
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in 0..10 {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            if shift == 9 && byte > 1 {
                return Err(Malformed);
            }
            number |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (head, tail) = split.ok_or(Malformed)?;
        self.rest = tail;
        Ok(head)
    }
}

/// Appends a field of wire type 0.
pub(crate) fn push_number(out: &mut Vec<u8>, field: u8, number: u64) {
    push_varint(out, u64::from(field) << 3);
    push_varint(out, number);
}

/// Appends a field of wire type 2.
pub(crate) fn push_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    push_varint(out, u64::from(field) << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a number without a field.
pub(crate) fn push_varint(out: &mut Vec<u8>, number: u64) {
    let mut buffer = unsigned_varint::encode::u64_buffer();
    out.extend_from_slice(unsigned_varint::encode::u64(number, &mut buffer));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        push_number(&mut out, 5, u64::MAX);
        push_bytes(&mut out, 9, b"data");
        let mut fields = Fields::new(&out);
        assert_eq!(fields.next(), Ok(Some((5, Value::Number(u64::MAX)))));
        assert_eq!(fields.next(), Ok(Some((9, Value::Bytes(b"data")))));
        assert_eq!(fields.next(), Ok(None));
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_refused() {
        let cases: [&[u8]; 6] = [
            &[0x08],
            &[0x0a, 0x02, 0x00],
            &[0x00, 0x00],
            &[0x0b],
            &[0x09, 1, 2, 3],
            // A varint of more than 64 bits.
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ];
        for bytes in cases {
            assert_eq!(Fields::new(bytes).next(), Err(Malformed), "{bytes:x?}");
        }
    }
}
