//! `cairn diag datastore`: rows of the tables as they are.

use crate::{ctx::Ctx, exit::Usage};
use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cairn_store::kv::{Table, after_prefix};
use serde::Serialize;
use std::{fmt::Write as _, io::Write as _};

/// Options of `cairn diag datastore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys are /TABLE/HEX: a table (blocks, index, pins, meta, marks, net), and the bytes of the row's key in hexadecimal digits.
docs/FORMAT.md says what they mean. No daemon may run. There is no way to write: rows that were not made by the store would
not be checked.

Examples:
  cairn diag datastore count /net
  cairn diag datastore get --hex /meta/0165706f6368")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the value of a row
    #[command(after_help = "Example:\n  cairn diag datastore get --hex /meta/0165706f6368")]
    Get {
        /// The row: /TABLE/HEX
        key: String,
        /// Print it as hexadecimal digits and text
        #[arg(long)]
        hex: bool,
    },
    /// Count the rows whose keys begin so
    #[command(after_help = "Examples:\n  cairn diag datastore count /\n  cairn diag datastore count /pins")]
    Count {
        /// What they begin with: /, /TABLE or /TABLE/HEX
        prefix: String,
    },
}

/// Kubo's answer of `get`.
#[derive(Serialize)]
struct Row {
    key: String,
    value: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hex_dump: String,
}

/// Kubo's answer of `count`.
#[derive(Serialize)]
struct Count {
    prefix: String,
    count: u64,
}

/// Runs `cairn diag datastore`.
///
/// # Errors
/// When a daemon runs, a key makes no sense, or there is no such row.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Get { key, hex } => get(ctx, key, hex),
        Command::Count { prefix } => count(ctx, prefix),
    }
}

/// A key as table and bytes; `None`: all tables.
fn parse(text: &str) -> anyhow::Result<Option<(Table, Vec<u8>)>> {
    let wrong = || Usage(format!("{text:?} is no key: a key is /TABLE/HEX, such as /meta/0165706f6368"));
    let rest = text.strip_prefix('/').ok_or_else(wrong)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let (name, hex) = rest.split_once('/').unwrap_or((rest, ""));
    let table = Table::ALL.into_iter().find(|table| table.name() == name);
    let table = table.ok_or_else(|| Usage(format!("{name:?} is no table: see `cairn diag datastore --help`")))?;
    let digit = |c: &u8| char::from(*c).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [a, b] => u8::try_from(16 * digit(a)? + digit(b)?).ok(),
        _ => None,
    };
    let key: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(pair).collect();
    Ok(Some((table, key.ok_or_else(wrong)?)))
}

fn get(ctx: &Ctx, key: String, hex: bool) -> anyhow::Result<()> {
    let Some((table, bytes)) = parse(&key)? else { bail!(Usage("which row? A key is /TABLE/HEX".into())) };
    let value = ctx.repo()?.kv().get(table, &bytes)?.with_context(|| format!("key not found: {key}"))?;
    if !hex && !ctx.out.json() {
        return Ok(ctx.out.stdout().write_all(&value)?);
    }
    let hex_dump = if hex { dump(&value) } else { String::new() };
    let row = Row { key, value: STANDARD.encode(&value), hex_dump };
    ctx.out.emit_once(&row, |row| format!("Key: {}\nHex Dump:\n{}", row.key, row.hex_dump))
}

fn count(ctx: &Ctx, prefix: String) -> anyhow::Result<()> {
    let kv = ctx.repo()?.kv();
    let ranges = match parse(&prefix)? {
        Some(range) => vec![range],
        None => Table::ALL.map(|table| (table, Vec::new())).to_vec(),
    };
    let mut count = 0;
    for (table, from) in ranges {
        for row in kv.scan(table, &from, after_prefix(&from).as_deref()) {
            row?;
            ctx.cancel.check()?;
            count += 1;
        }
    }
    ctx.out.emit_once(&Count { prefix, count }, |c| format!("{}\n", c.count))
}

/// Bytes as `hexdump -C` shows them.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (n, line) in bytes.chunks(16).enumerate() {
        // Writing to a String does not fail.
        let _ = write!(out, "{:08x} ", 16 * n);
        for at in 0..16 {
            out.push_str(if at == 8 { "  " } else { " " });
            let _ = match line.get(at) {
                Some(byte) => write!(out, "{byte:02x}"),
                None => write!(out, "  "),
            };
        }
        let text: String = line.iter().map(|b| if (b' '..=b'~').contains(b) { char::from(*b) } else { '.' }).collect();
        let _ = writeln!(out, "  |{text}|");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_table_and_digits() {
        assert_eq!(parse("/").expect("all"), None);
        assert_eq!(parse("/net").expect("a table"), Some((Table::Net, vec![])));
        assert_eq!(parse("/meta/01fF").expect("a row"), Some((Table::Meta, vec![1, 255])));
        for wrong in ["", "net", "/nets", "/net/0", "/net/0g", "/net/+1", "/net/01/02"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dumps_look_as_hexdump_makes_them() {
        let known = [0x18, 0x81, 0x81, 0xc8, 0x91, 0xc0, 0xea, 0xf6];
        assert_eq!(dump(&known), "00000000  18 81 81 c8 91 c0 ea f6                           |........|\n");
        assert_eq!(
            dump(b"0123456789abcdefg"),
            "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n\
             00000010  67                                                |g|\n"
        );
    }
}
