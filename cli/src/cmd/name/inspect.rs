//! `cairn name inspect`.

use crate::{cmd::put, ctx::Ctx, units::go_duration};
use cairn_net::ipns::{Name, Record, validate};
use serde::Serialize;
use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// Bytes in a line of a dump.
const LINE: usize = 16;

/// Options of `cairn name inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn name get k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k | cairn name inspect
  cairn name inspect --verify=k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k record")]
pub struct Args {
    /// File with the record; `-` or none: stdin
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    record: PathBuf,
    /// Check it against this name
    #[arg(long, value_name = "NAME")]
    verify: Option<String>,
    /// Print its bytes too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    dump: bool,
}

/// What a record says, in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    entry: Fields,
    pb_size: usize,
    signature_type: &'static str,
    hex_dump: String,
    validation: Option<Validation>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Fields {
    value: String,
    validity_type: Option<i64>,
    validity: Option<String>,
    sequence: Option<u64>,
    /// In nanoseconds.
    #[serde(rename = "TTL")]
    ttl: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Validation {
    valid: bool,
    reason: String,
    name: String,
}

/// Runs `cairn name inspect`.
///
/// # Errors
/// When the input is no record, or the name is none. A record that is not valid is no error: the output says so.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let bytes = put::read(ctx, &args.record)?;
    let record = Record::parse(&bytes)?;
    let validation = args.verify.as_deref().map(|name| check(&record, name)).transpose()?;
    let entry = Fields {
        value: record.value().map(|path| path.to_string()).unwrap_or_default(),
        validity_type: record.validity_type().ok(),
        validity: record.eol().map(|eol| eol.to_string()).ok(),
        sequence: record.sequence().ok(),
        ttl: record.ttl().ok().and_then(|ttl| u64::try_from(ttl.as_nanos()).ok()),
    };
    let inspected = Inspected {
        entry,
        pb_size: bytes.len(),
        signature_type: if record.has_v1() { "V1+V2" } else { "V2" },
        hex_dump: if args.dump { dump(&bytes) } else { String::new() },
        validation,
    };
    ctx.out.emit(&inspected, text)
}

fn check(record: &Record, name: &str) -> anyhow::Result<Validation> {
    let name = Name::parse(name)?;
    let result = validate(record, name, SystemTime::now().into());
    let reason = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    Ok(Validation { valid: result.is_ok(), reason, name: name.to_string() })
}

fn text(record: &Inspected) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(out, "{:16}{value}", format!("{label}:"));
    };
    let entry = &record.entry;
    if !entry.value.is_empty() {
        line("Value", format!("{:?}", entry.value));
    }
    if let Some(kind) = entry.validity_type {
        line("Validity Type", kind.to_string());
    }
    if let Some(validity) = &entry.validity {
        line("Validity", format!("{validity:?}"));
    }
    if let Some(sequence) = entry.sequence {
        line("Sequence", sequence.to_string());
    }
    if let Some(ttl) = entry.ttl {
        line("TTL", go_duration(Duration::from_nanos(ttl)));
    }
    line("Protobuf Size", record.pb_size.to_string());
    line("Signature Type", record.signature_type.to_owned());
    match &record.validation {
        None => out.push_str("\nThis record was not verified. Pass '--verify k51...' to verify.\n"),
        Some(validation) => {
            out.push_str("\nValidation results:\n");
            let pad = if validation.reason.is_empty() { 6 } else { 7 };
            let _ = writeln!(out, " {:pad$} {}", "Valid:", validation.valid);
            if !validation.reason.is_empty() {
                let _ = writeln!(out, " Reason: {}", validation.reason);
            }
            let _ = writeln!(out, " {:pad$} {}", "Name:", validation.name);
        }
    }
    if !record.hex_dump.is_empty() {
        let _ = write!(out, "\nHex Dump:\n{}", record.hex_dump);
    }
    out
}

/// Offset, hexadecimal digits and printable characters, as `hexdump -C` writes them.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (number, line) in bytes.chunks(LINE).enumerate() {
        let _ = write!(out, "{:08x} ", number * LINE);
        for at in 0..LINE {
            let gap = if at % 8 == 0 { " " } else { "" };
            match line.get(at) {
                Some(byte) => {
                    let _ = write!(out, "{gap}{byte:02x} ");
                }
                None => {
                    let _ = write!(out, "{gap}   ");
                }
            }
        }
        let shown = line.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' });
        let _ = writeln!(out, " |{}|", shown.collect::<String>());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_looks_like_hexdumps() {
        let bytes: Vec<u8> = (b'A'..=b'R').chain([0]).collect();
        let wanted = "00000000  41 42 43 44 45 46 47 48  49 4a 4b 4c 4d 4e 4f 50  |ABCDEFGHIJKLMNOP|\n\
                      00000010  51 52 00                                          |QR.|\n";
        assert_eq!(dump(&bytes), wanted);
    }
}
