//! `cairn pubsub`: messages by topic.

use crate::{
    cmd::swarm::Strings,
    ctx::Ctx,
    output::{Kind, escape_control},
};
use anyhow::Context as _;
use cairn_net::node::pubsub::{MAX_MESSAGE, Message};
use futures::StreamExt as _;
use multibase::Base;
use serde::Serialize;
use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
};

/// Options of `cairn pubsub`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The daemon has to run with Pubsub.Enabled set to true.

Examples:
  cairn pubsub sub news
  echo hello | cairn pubsub pub news")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Send a message
    #[command(after_help = "Examples:\n  echo hello | cairn pubsub pub news\n  cairn pubsub pub news message.bin")]
    Pub {
        /// Topic
        topic: String,
        /// File with the message [default: stdin]
        #[arg(value_name = "FILE")]
        data: Option<PathBuf>,
    },
    /// Print messages as they come
    #[command(after_help = "Examples:\n  cairn pubsub sub news\n  cairn pubsub sub --enc=json news")]
    Sub {
        /// Topic
        topic: String,
    },
    /// Print the topics that this node is subscribed to
    #[command(after_help = "Example:\n  cairn pubsub ls")]
    Ls,
    /// Print the connected peers that are subscribed
    #[command(after_help = "Examples:\n  cairn pubsub peers\n  cairn pubsub peers news")]
    Peers {
        /// Topic [default: any]
        topic: Option<String>,
    },
}

/// A message in Kubo's shape: all but the name of the writer is in base64url.
#[derive(Serialize)]
struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seqno: Option<String>,
    #[serde(rename = "topicIDs")]
    topic_ids: [String; 1],
}

impl Event {
    fn new(message: &Message) -> Self {
        Self {
            from: message.from.map(|peer| peer.to_string()),
            data: encode(&message.data),
            seqno: message.seqno.map(|number| encode(number.to_be_bytes())),
            topic_ids: [encode(&message.topic)],
        }
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    multibase::encode(Base::Base64Url, bytes)
}

/// Runs `cairn pubsub`.
///
/// # Errors
/// When there is no daemon, it does no PubSub, or a message is too large.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Pub { topic, data } => publish(ctx, &topic_of(ctx, topic)?, data),
        Command::Sub { topic } => subscribe(ctx, &topic_of(ctx, topic)?),
        Command::Ls => {
            let node = ctx.node()?;
            let topics = ctx.block_on(async { Ok(node.pubsub().topics().await?) })?;
            let strings = topics.iter().map(encode).collect();
            ctx.out.emit_once(&Strings { strings }, |_| {
                topics.iter().map(|topic| format!("{}\n", escape_control(topic))).collect()
            })
        }
        Command::Peers { topic } => {
            let node = ctx.node()?;
            let topic = topic.map(|topic| topic_of(ctx, topic)).transpose()?;
            let peers = ctx.block_on(async { Ok(node.pubsub().peers(topic.as_deref()).await?) })?;
            let mut peers: Vec<_> = peers.iter().map(ToString::to_string).collect();
            peers.sort();
            Strings::print(ctx, peers)
        }
    }
}

/// The name of a topic as it is meant. Over HTTP it comes in base64url, which the URL leaves as it is.
fn topic_of(ctx: &Ctx, given: String) -> anyhow::Result<String> {
    if !ctx.is_rpc() {
        return Ok(given);
    }
    decode_topic(&given)
}

fn decode_topic(given: &str) -> anyhow::Result<String> {
    let (base, bytes) = multibase::decode(given).context("URL arg must be multibase encoded")?;
    anyhow::ensure!(base == Base::Base64Url, "URL arg must be base64url encoded");
    String::from_utf8(bytes).context("the name of a topic must be UTF-8")
}

fn publish(ctx: &Ctx, topic: &str, data: Option<PathBuf>) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let mut files = ctx.input.files(data.into_iter().collect())?;
    let file = files.next().context("no message was given")??;
    let mut message = Vec::new();
    // One byte more than a message may have, which is then refused as too large.
    file.reader.take(MAX_MESSAGE as u64 + 1).read_to_end(&mut message).context("cannot read the message")?;
    ctx.block_on(async { Ok(node.pubsub().publish(topic, message).await?) })
}

fn subscribe(ctx: &Ctx, topic: &str) -> anyhow::Result<()> {
    let node = ctx.node()?;
    ctx.block_on(async {
        let mut messages = node.pubsub().subscribe(topic).await?;
        // The subscription stands: clients wait for the beginning of the answer.
        drop(ctx.out.begin(Kind::Events, None));
        ctx.out.finish()?;
        while let Some(message) = messages.next().await {
            if ctx.out.json() {
                ctx.out.emit(&Event::new(&message), |_| String::new())?;
            } else {
                ctx.out.writer().write_all(&message.data)?;
            }
            ctx.out.finish()?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_shape_of_kubo() {
        // What `ipfs pubsub sub --enc=json` prints of a message.
        let message = Message { from: None, seqno: Some(1), data: b"hi\n".to_vec(), topic: "news".into() };
        let json = serde_json::to_string(&Event::new(&message)).expect("JSON");
        assert_eq!(json, r#"{"data":"uaGkK","seqno":"uAAAAAAAAAAE","topicIDs":["ubmV3cw"]}"#);
    }

    #[test]
    fn topics_in_urls_are_in_base64url() {
        assert_eq!(decode_topic("ubmV3cw").expect("a topic"), "news");
        for wrong in ["news", "mbmV3cw", "", "u_w"] {
            decode_topic(wrong).expect_err(wrong);
        }
    }
}
