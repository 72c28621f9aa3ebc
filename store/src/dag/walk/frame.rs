//! One level of the stack: the links of a block that are not all followed yet.

use super::{BATCH, follow::Span};
use crate::{Block, Cid, fetch::FetchError};
use std::collections::VecDeque;

/// Blocks that the first batch below a node asks for: until it is known that no inner nodes are among them,
/// whose descendants would come between them.
const FIRST_WINDOW: usize = 4;

pub(super) type Answer = Result<Block, FetchError>;

pub(super) struct Frame {
    /// The block whose links these are; `None` for the frame that holds the root.
    pub parent: Option<Cid>,
    /// All links; `None` when they were forgotten.
    pub links: Option<Vec<Cid>>,
    /// Where the block is in a file, if only a part of what is below it is wanted.
    pub span: Option<Span>,
    /// The same of what each link leads to; empty if all of it is wanted of all of them.
    pub spans: Vec<Option<Span>>,
    /// The link to follow next.
    pub next: usize,
    /// Links before this one were asked for, or need not be.
    pub asked: usize,
    /// Blocks that were read ahead, by ascending position.
    pub ahead: VecDeque<(usize, Answer)>,
    /// Whether the last block here had links.
    pub branches: bool,
    window: usize,
}

fn size(answer: &Answer) -> usize {
    answer.as_ref().map_or(0, |block| block.data().len())
}

impl Frame {
    pub fn root(root: Cid) -> Self {
        Self { parent: None, ..Self::new(root, vec![root]) }
    }

    pub fn new(parent: Cid, links: Vec<Cid>) -> Self {
        Self {
            parent: Some(parent),
            links: Some(links),
            span: None,
            spans: Vec::new(),
            next: 0,
            asked: 0,
            ahead: VecDeque::new(),
            branches: false,
            window: FIRST_WINDOW,
        }
    }

    /// The same with the places in a file of the block and of what its links lead to.
    pub fn with_spans(mut self, span: Option<Span>, spans: Vec<Option<Span>>) -> Self {
        (self.span, self.spans) = (span, spans);
        self
    }

    /// Where in a file is what a link leads to, if only a part of that is wanted.
    pub fn span_of(&self, index: usize) -> Option<Span> {
        self.spans.get(index).copied().flatten()
    }

    /// Whether no link is left to follow.
    pub fn is_spent(&self) -> bool {
        self.links.as_ref().is_some_and(|links| self.next >= links.len())
    }

    /// Whether all links were asked for.
    pub fn all_asked(&self) -> bool {
        self.links.as_ref().is_none_or(|links| self.asked >= links.len())
    }

    /// Blocks that the next batch may have. It grows while leaves follow on leaves.
    pub fn window(&mut self) -> usize {
        let window = self.window;
        self.window = (2 * window).min(BATCH);
        window
    }

    /// Notes whether a block here had links.
    pub fn learn(&mut self, branches: bool) {
        self.branches = branches;
        if branches {
            self.window = FIRST_WINDOW;
        }
    }

    /// The block at that position if it was read ahead, and the bytes by which less is held now: earlier ones,
    /// which turned out not to be needed, go too.
    pub fn take(&mut self, index: usize) -> (Option<Answer>, usize) {
        let mut freed = 0;
        while self.ahead.front().is_some_and(|(position, _)| *position <= index) {
            let Some((position, answer)) = self.ahead.pop_front() else { break };
            freed += size(&answer);
            if position == index {
                return (Some(answer), freed);
            }
        }
        (None, freed)
    }

    /// Gives up links and blocks: how many of the one, and bytes of the other.
    pub fn forget(&mut self) -> (usize, usize) {
        let links = self.links.take().map_or(0, |links| links.len());
        self.spans = Vec::new();
        let bytes = self.ahead.drain(..).map(|(_, answer)| size(&answer)).sum();
        self.asked = self.next;
        (links, bytes)
    }
}
