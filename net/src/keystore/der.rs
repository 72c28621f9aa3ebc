//! The little of DER that private keys in PKCS#8 need (ITU-T X.690).

/// Tag of an INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// Tag of a BIT STRING.
pub(super) const BIT_STRING: u8 = 0x03;
/// Tag of an OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// Tag of NULL.
pub(super) const NULL: u8 = 0x05;
/// Tag of an OBJECT IDENTIFIER.
pub(super) const OID: u8 = 0x06;
/// Tag of a SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// Tag of the first optional element of an EC key: its curve.
pub(super) const CONTEXT_0: u8 = 0xa0;
/// Tag of the second optional element of an EC key: the public key.
pub(super) const CONTEXT_1: u8 = 0xa1;

/// Reads the first element: its tag, its content, and what follows it. Lengths of up to four bytes are read.
pub(super) fn read(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// Reads the first element, which must have that tag: its content and what follows it.
pub(super) fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    read(bytes).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// An element.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let len = content.len();
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let digits = len.to_be_bytes();
            let zeros = digits.iter().take_while(|digit| **digit == 0).count();
            out.push(0x80 | (digits.len() - zeros) as u8);
            out.extend_from_slice(&digits[zeros..]);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Bits of an unsigned INTEGER's content.
pub(super) fn bits(integer: &[u8]) -> usize {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    let digits = &integer[zeros..];
    digits.first().map_or(0, |first| 8 * digits.len() - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form_up_to_127_and_another_beyond() {
        for (len, head) in [(0, &[4, 0][..]), (127, &[4, 127]), (128, &[4, 0x81, 128]), (256, &[4, 0x82, 1, 0])] {
            let encoded = element(OCTET_STRING, &vec![7; len]);
            assert!(encoded.starts_with(head), "{len}");
            assert_eq!(
                expect(&encoded, OCTET_STRING).map(|(content, rest)| (content.len(), rest.len())),
                Some((len, 0))
            );
        }
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        for bytes in [&[][..], &[4], &[4, 1], &[4, 0x80], &[4, 0x82, 1], &[4, 0x84, 255, 255, 255, 255], &[4, 0x85]] {
            assert_eq!(read(bytes), None, "{bytes:x?}");
        }
        assert_eq!(expect(&[2, 0], OCTET_STRING), None);
    }

    #[test]
    fn bits_leave_leading_zeros_out() {
        for (integer, wanted) in [(&[][..], 0), (&[0, 0], 0), (&[0, 0x80], 8), (&[1, 0], 9), (&[0xff, 0xff], 16)] {
            assert_eq!(bits(integer), wanted, "{integer:x?}");
        }
    }
}
