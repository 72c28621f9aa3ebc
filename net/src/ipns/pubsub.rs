//! IPNS over PubSub: each name has a topic, on which its records are sent when they change.
//!
//! [`Follower`] knows which names are followed and what was heard of them. It is given a PubSub ([`Topics`]) and does
//! no I/O besides. Whoever runs the PubSub asks it about each message ([`Follower::received`]), and whoever serves
//! [`FETCH_PROTOCOL`] asks it for what is known ([`Follower::known`]), and gives it what peers answer.
//! Source: go-libp2p-pubsub-router; specs.ipfs.tech/ipns/ipns-pubsub-router.

use super::{MAX_RECORD, Name, Record, Timestamp, compare, parse_valid, validate};
use crate::protobuf::{self, Fields, Value};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    cmp::Ordering,
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The protocol by which a peer that joins a topic asks for the record at once.
pub const FETCH_PROTOCOL: &str = "/libp2p/fetch/0.0.1";
/// Largest message of that protocol.
pub const MAX_FETCH: usize = MAX_RECORD + 64;
/// Most names that are followed at once; further ones are found through routing only.
pub const MAX_FOLLOWED: usize = 1024;
/// How often what is known is sent again.
pub const REBROADCAST: Duration = Duration::from_secs(600);

const TOPIC_PREFIX: &str = "/record/";

/// What following names needs of a PubSub.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Joins a topic. It must not block.
    ///
    /// # Errors
    /// A sentence, when it can't be joined.
    fn subscribe(&self, topic: &str) -> Result<(), String>;

    /// Leaves a topic. It must not block.
    fn unsubscribe(&self, topic: &str);

    /// Sends a message to a topic.
    ///
    /// # Errors
    /// A sentence, when it can't be sent.
    async fn publish(&self, topic: &str, data: Bytes) -> Result<(), String>;
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Accept,
    /// Do not pass it on; its sender did nothing wrong.
    Ignore,
    /// Do not pass it on; its sender should have known.
    Reject,
}

/// The topic of a name.
pub fn topic(name: Name) -> String {
    format!("{TOPIC_PREFIX}{}", URL_SAFE_NO_PAD.encode(name.routing_key()))
}

/// The name of a topic, if it is one of a name.
pub fn name_of(topic: &str) -> Option<Name> {
    let key = URL_SAFE_NO_PAD.decode(topic.strip_prefix(TOPIC_PREFIX)?).ok()?;
    Name::from_routing_key(&key).ok()
}

/// The names that are followed, with the best record that was heard of each.
pub struct Follower {
    topics: Arc<dyn Topics>,
    names: Mutex<HashMap<Name, Option<Record>>>,
}

impl Follower {
    /// Follows nothing yet.
    pub fn new(topics: Arc<dyn Topics>) -> Arc<Self> {
        Arc::new(Self { topics, names: Mutex::default() })
    }

    /// Follows a name from now on, if it is not followed yet and there is room. Gives the best valid record: `known`,
    /// or one that was heard.
    pub fn follow(&self, name: Name, known: Option<Bytes>) -> Option<Bytes> {
        let now = now();
        let known = known.and_then(|bytes| parse_valid(&bytes, name, now).ok());
        let mut names = self.names.lock();
        if !names.contains_key(&name) {
            if names.len() >= MAX_FOLLOWED {
                return known.map(|record| record.bytes().clone());
            }
            if let Err(error) = self.topics.subscribe(&topic(name)) {
                tracing::debug!(%name, error, "cannot follow a name on PubSub");
                return known.map(|record| record.bytes().clone());
            }
            names.insert(name, None);
        }
        let best = names.entry(name).or_default();
        if let Some(known) = known
            && best.as_ref().is_none_or(|best| compare(&known, best) == Ordering::Greater)
        {
            *best = Some(known);
        }
        let valid = best.as_ref().filter(|record| record.eol().is_ok_and(|eol| now <= eol));
        valid.map(|record| record.bytes().clone())
    }

    /// Follows a name and sends its new record.
    ///
    /// # Errors
    /// A sentence, when it can't be sent.
    pub async fn publish(&self, name: Name, record: Bytes) -> Result<(), String> {
        self.follow(name, Some(record.clone()));
        self.topics.publish(&topic(name), record).await
    }

    /// Judges a message on a topic, and keeps its record if it is the best so far. `own`: this node sent it. Signatures,
    /// which cost most, are checked last: what would not count anyway is dropped before, whatever its signature.
    pub fn received(&self, topic: &str, data: &Bytes, own: bool, now: Timestamp) -> Verdict {
        let Some(name) = name_of(topic) else { return Verdict::Ignore };
        let mut names = self.names.lock();
        let Some(best) = names.get_mut(&name) else { return Verdict::Ignore };
        // A record that is no longer valid is worse than any.
        let old = best.as_ref().filter(|old| old.eol().is_ok_and(|eol| now <= eol));
        if old.is_some_and(|old| old.bytes() == data) {
            return if own { Verdict::Accept } else { Verdict::Ignore };
        }
        let Ok(record) = Record::parse(data) else { return Verdict::Reject };
        if old.is_some_and(|old| compare(&record, old) != Ordering::Greater) {
            return Verdict::Ignore;
        }
        if validate(&record, name, now).is_err() {
            return Verdict::Reject;
        }
        *best = Some(record);
        Verdict::Accept
    }

    /// What is known under a routing key, for [`FETCH_PROTOCOL`].
    pub fn known(&self, key: &[u8], now: Timestamp) -> Option<Bytes> {
        let name = Name::from_routing_key(key).ok()?;
        let names = self.names.lock();
        let record = names.get(&name)?.as_ref()?;
        record.eol().is_ok_and(|eol| now <= eol).then(|| record.bytes().clone())
    }

    /// Names that are followed, in order.
    pub fn followed(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.names.lock().keys().copied().collect();
        names.sort();
        names
    }

    /// Follows a name no longer. Whether it was followed.
    pub fn cancel(&self, name: Name) -> bool {
        let followed = self.names.lock().remove(&name).is_some();
        if followed {
            self.topics.unsubscribe(&topic(name));
        }
        followed
    }

    /// Sends what is known once: peers that joined later may not have it.
    pub async fn rebroadcast(&self) {
        let known: Vec<(Name, Bytes)> = {
            let now = now();
            let names = self.names.lock();
            let valid = names.iter().filter_map(|(name, record)| Some((*name, record.as_ref()?)));
            let valid = valid.filter(|(_, record)| record.eol().is_ok_and(|eol| now <= eol));
            valid.map(|(name, record)| (name, record.bytes().clone())).collect()
        };
        for (name, record) in known {
            if let Err(error) = self.topics.publish(&topic(name), record).await {
                tracing::debug!(%name, error, "cannot send a record on PubSub");
            }
        }
    }

    /// Sends what is known every [`REBROADCAST`], for ever: run it as a task.
    pub async fn rebroadcast_forever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(REBROADCAST).await;
            self.rebroadcast().await;
        }
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A request of [`FETCH_PROTOCOL`], without the length before it.
pub fn encode_request(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    protobuf::push_bytes(&mut out, 1, key);
    out
}

/// The key in a request; `None` when it is malformed.
pub fn decode_request(message: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::new(message);
    let mut key = None;
    while let Some((number, value)) = fields.next().ok()? {
        if let (1, Value::Bytes(bytes)) = (number, value) {
            key = Some(bytes);
        }
    }
    key
}

/// Status of an answer that has no data.
const NOT_FOUND: u64 = 1;

/// An answer of [`FETCH_PROTOCOL`], without the length before it.
pub fn encode_response(data: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    match data {
        Some(data) => protobuf::push_bytes(&mut out, 2, data),
        None => protobuf::push_number(&mut out, 1, NOT_FOUND),
    }
    out
}

/// The data in an answer; `None` when there is none, or it is malformed.
pub fn decode_response(message: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::new(message);
    let (mut status, mut data) = (0, None);
    while let Some((number, value)) = fields.next().ok()? {
        match (number, value) {
            (1, Value::Number(number)) => status = number,
            (2, Value::Bytes(bytes)) => data = Some(bytes),
            _ => {}
        }
    }
    data.filter(|_| status == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ipns::{Content, Record},
        keystore::{Algorithm, PrivateKey},
    };

    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    #[async_trait]
    impl Topics for Log {
        fn subscribe(&self, topic: &str) -> Result<(), String> {
            self.0.lock().push(format!("+{topic}"));
            Ok(())
        }
        fn unsubscribe(&self, topic: &str) {
            self.0.lock().push(format!("-{topic}"));
        }
        async fn publish(&self, topic: &str, _: Bytes) -> Result<(), String> {
            self.0.lock().push(format!("!{topic}"));
            Ok(())
        }
    }

    fn record(key: &PrivateKey, sequence: u64) -> Bytes {
        let eol = now().after(Duration::from_secs(60));
        let content = Content { value: "/ipfs/bafkqaaa", sequence, eol, ttl: Duration::ZERO, v1: false };
        Record::new(key, &content).expect("a record").bytes().clone()
    }

    #[test]
    fn topics_are_those_of_kubo() {
        let name = Name::parse("12D3KooWABqi1pVjfMwtWhP8o6zULkzH9FCqoYH87hbctZUbS92j").expect("a name");
        assert!(topic(name).starts_with("/record/L2lwbnMv"), "base64url of \"/ipns/\" stands first: {}", topic(name));
        assert_eq!(name_of(&topic(name)), Some(name));
        assert_eq!(name_of("/record/!"), None);
        assert_eq!(name_of("news"), None);
    }

    #[tokio::test]
    async fn better_records_are_kept_and_passed_on() {
        let key = PrivateKey::generate(Algorithm::Ed25519).expect("a key");
        let name = Name::from(key.peer_id());
        let log = Arc::new(Log::default());
        let follower = Follower::new(log.clone());
        let judge = |sequence, own| follower.received(&topic(name), &record(&key, sequence), own, now());
        assert_eq!(judge(1, false), Verdict::Ignore, "nobody here follows it");
        assert_eq!(follower.follow(name, None), None);
        let two = record(&key, 2);
        assert_eq!(follower.received(&topic(name), &two, false, now()), Verdict::Accept);
        assert_eq!(follower.received(&topic(name), &two, false, now()), Verdict::Ignore);
        assert_eq!(follower.received(&topic(name), &two, true, now()), Verdict::Accept);
        assert_eq!(judge(1, false), Verdict::Ignore);
        assert_eq!(follower.received(&topic(name), &Bytes::from_static(b"x"), false, now()), Verdict::Reject);
        let other = PrivateKey::generate(Algorithm::Ed25519).expect("a key");
        let forged = |sequence| follower.received(&topic(name), &record(&other, sequence), false, now());
        assert_eq!(forged(1), Verdict::Ignore, "it would not count: its signature is not looked at");
        assert_eq!(forged(9), Verdict::Reject);
        assert_eq!(follower.known(&name.routing_key(), now()), Some(two.clone()));
        assert_eq!(follower.known(&name.routing_key(), Timestamp::MAX), None, "it has ended by then");
        assert_eq!(follower.follow(name, Some(record(&key, 1))), Some(two));
        let three = record(&key, 3);
        follower.publish(name, three.clone()).await.expect("sent");
        follower.rebroadcast().await;
        assert_eq!(follower.follow(name, None), Some(three));
        assert_eq!(follower.followed(), [name]);
        assert!(follower.cancel(name) && !follower.cancel(name));
        let topic = topic(name);
        let wanted = ["+", "!", "!", "-"].map(|mark| format!("{mark}{topic}"));
        assert_eq!(*log.0.lock(), wanted);
    }

    #[test]
    fn no_more_names_are_followed_than_there_is_room_for() {
        let follower = Follower::new(Arc::new(Log::default()));
        for _ in 0..MAX_FOLLOWED + 2 {
            follower.follow(Name::from(libp2p::PeerId::random()), None);
        }
        assert_eq!(follower.followed().len(), MAX_FOLLOWED);
    }

    #[test]
    fn messages_of_the_fetch_protocol_are_read_back() {
        assert_eq!(decode_request(&encode_request(b"/ipns/x")), Some(&b"/ipns/x"[..]));
        assert_eq!(decode_response(&encode_response(Some(b"data"))), Some(&b"data"[..]));
        assert_eq!(decode_response(&encode_response(None)), None);
        assert_eq!(decode_request(b"\x0a\xff"), None);
    }
}
