//! `cairn cid inspect`.

use super::{base_of, lists::base_name, parse};
use crate::{cmd::source::arguments, ctx::Ctx};
use anyhow::bail;
use cairn_store::{Cid, Multihash, cid::codec, hash::HashFn, multicodec};
use cid::Version;
use multibase::Base;
use serde::Serialize;
use std::fmt::Write as _;

/// Options of `cairn cid inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn cid inspect QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB")]
pub struct Args {
    /// The CID [default: the first line of stdin]
    #[arg(value_name = "CID")]
    cid: Option<String>,
}

/// The parts of a CID, in Kubo's shape.
#[derive(Debug, Default, Serialize)]
struct Parts {
    cid: String,
    version: u64,
    multibase: PartBase,
    multicodec: PartCodec,
    multihash: PartHash,
    #[serde(rename = "cidV0", skip_serializing_if = "String::is_empty")]
    cid_v0: String,
    #[serde(rename = "cidV1")]
    cid_v1: String,
    #[serde(rename = "errorMsg", skip_serializing_if = "String::is_empty")]
    error: String,
}

#[derive(Debug, Default, Serialize)]
struct PartBase {
    prefix: String,
    name: String,
}

#[derive(Debug, Default, Serialize)]
struct PartCodec {
    code: u64,
    name: String,
}

#[derive(Debug, Default, Serialize)]
struct PartHash {
    code: u64,
    name: String,
    length: u8,
    digest: String,
}

/// Runs `cairn cid inspect`.
///
/// # Errors
/// When it is no CID; with `--enc=json` that stands in the output, as in Kubo.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let given = arguments(ctx, args.cid.into_iter().collect())?;
    let text = &given[0];
    let parts = match parse(text) {
        Ok(cid) => parts(text, &cid),
        Err(error) => {
            let error = format!("invalid CID: {error}{}", peer_note(text).unwrap_or_default());
            if !ctx.out.json() {
                bail!(error);
            }
            Parts { cid: text.clone(), error, ..Parts::default() }
        }
    };
    ctx.out.emit_once(&parts, show)
}

/// The hint for the identifier of a peer in its old form, which is a bare multihash.
fn peer_note(text: &str) -> Option<String> {
    let bytes = Base::Base58Btc.decode(text).ok()?;
    let hash = Multihash::from_bytes(&bytes).ok()?;
    if hash.code() != HashFn::IDENTITY.code() && hash.code() != HashFn::SHA2_256.code() {
        return None;
    }
    let cid = Cid::new_v1(codec::LIBP2P_KEY, hash).to_string_of_base(Base::Base36Lower).ok()?;
    Some(format!("\nNote: the value is a PeerID; inspect its CID representation instead:\n  {cid}"))
}

fn parts(text: &str, cid: &Cid) -> Parts {
    let hash = cid.hash();
    let base = base_of(text, cid);
    let v1 = Cid::new_v1(cid.codec(), *hash);
    let v1_base = if cid.codec() == codec::LIBP2P_KEY { Base::Base36Lower } else { Base::Base32Lower };
    Parts {
        cid: text.to_owned(),
        version: u64::from(cid.version()),
        multibase: PartBase { prefix: base.code().to_string(), name: base_name(base) },
        multicodec: PartCodec {
            code: cid.codec(),
            name: multicodec::codec_name(cid.codec()).unwrap_or("unknown").to_owned(),
        },
        multihash: PartHash {
            code: hash.code(),
            name: multicodec::hash_name(hash.code()).map_or_else(|| "unknown".to_owned(), Into::into),
            length: hash.size(),
            digest: Base::Base16Lower.encode(hash.digest()),
        },
        cid_v0: v0(cid).map(|cid| cid.to_string()).unwrap_or_default(),
        cid_v1: v1.to_string_of_base(v1_base).unwrap_or_else(|_| v1.to_string()),
        error: String::new(),
    }
}

fn v0(cid: &Cid) -> Option<Cid> {
    if cid.version() == Version::V0 {
        return Some(*cid);
    }
    (cid.codec() == codec::DAG_PB).then(|| Cid::new_v0(*cid.hash()).ok()).flatten()
}

fn show(parts: &Parts) -> String {
    let implicit = if parts.version == 0 { ", implicit" } else { "" };
    let (base, codec, hash) = (&parts.multibase, &parts.multicodec, &parts.multihash);
    let letter = if parts.version == 0 { "implicit" } else { &base.prefix };
    let mut out = format!("CID:        {}\nVersion:    {}\n", parts.cid, parts.version);
    // Writing to a String does not fail.
    let _ = writeln!(out, "Multibase:  {} ({letter})", base.name);
    let _ = writeln!(out, "Multicodec: {} (0x{:x}{implicit})", codec.name, codec.code);
    let _ = writeln!(out, "Multihash:  {} (0x{:x}{implicit})", hash.name, hash.code);
    let _ = writeln!(out, "  Length:   {} bytes\n  Digest:   {}", hash.length, hash.digest);
    let v0 = if !parts.cid_v0.is_empty() {
        parts.cid_v0.clone()
    } else if codec.code != codec::DAG_PB {
        format!("not possible, requires dag-pb (0x70), got {} (0x{:x})", codec.name, codec.code)
    } else if hash.code != HashFn::SHA2_256.code() {
        format!("not possible, requires sha2-256 (0x12), got {} (0x{:x})", hash.name, hash.code)
    } else {
        format!("not possible, requires 32-byte digest, got {}", hash.length)
    };
    let _ = writeln!(out, "CIDv0:      {v0}\nCIDv1:      {}", parts.cid_v1);
    out
}
