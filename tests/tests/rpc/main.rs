//! The daemon and its RPC, from outside.

mod cli;
mod hostile;
mod life;
mod rules;
mod shapes;

use cairn_tests::harness::Node;

/// Bytes of a file that is added by the tests.
const HELLO: &[u8] = b"hello world";
/// What Kubo makes of them.
const HELLO_CID: &str = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD";

/// A node that has [`HELLO`].
fn node() -> Node {
    let node = Node::new();
    assert_eq!(node.feed_bytes(["add", "-Q"], HELLO), HELLO_CID);
    node
}
