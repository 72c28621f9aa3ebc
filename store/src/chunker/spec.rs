//! The text that names a chunker, and its limits.

use crate::block::MAX_BLOCK_SIZE;
use std::{fmt, num::IntErrorKind};
use thiserror::Error;

/// Chunk size where none is given, in bytes.
pub const DEFAULT_CHUNK_SIZE: usize = 256 << 10;
/// Largest chunk in bytes: a block's limit, less what a leaf that is not raw adds around the chunk.
pub const MAX_CHUNK_SIZE: usize = MAX_BLOCK_SIZE - 256;
/// Shortest chunk that the Rabin chunker may be asked for: the width of its window, in bytes.
const MIN_RABIN: usize = super::rabin::WINDOW;

/// How to cut. The sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChunkerSpec {
    /// Chunks of one size.
    Size(usize),
    /// Cuts where the Rabin fingerprint of the last 16 bytes ends in zeros.
    Rabin {
        /// Shortest chunk.
        min: usize,
        /// Average distance of cuts; only its power of two counts.
        avg: usize,
        /// Longest chunk.
        max: usize,
    },
    /// Cuts where the buzhash of the last 32 bytes ends in zeros: chunks of 128 KiB to 512 KiB.
    Buzhash,
}

/// Text that names no chunker.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChunkerError {
    /// The first word is no chunker's name.
    #[error("unrecognized chunker option: {0}")]
    Unknown(String),
    /// `size-` takes one number.
    #[error("incorrect chunker string format (expected size-{{size}})")]
    SizeFormat,
    /// `rabin` takes none, one or three numbers.
    #[error("incorrect format (expected 'rabin' 'rabin-[avg]' or 'rabin-[min]-[avg]-[max]'")]
    RabinFormat,
    /// One of the three numbers has another one's label.
    #[error("{0} label must be {1}")]
    Label(&'static str, &'static str),
    /// Not a number, or one that no machine word holds.
    #[error("strconv.Atoi: parsing {text:?}: {reason}")]
    Number {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Chunks of no bytes.
    #[error("chunker size must be greater than 0")]
    Zero,
    /// Chunks that would not fit into a block.
    #[error("chunker parameters may not exceed the maximum chunk size of {MAX_CHUNK_SIZE}")]
    TooLarge,
    /// Chunks shorter than Rabin's window.
    #[error("rabin min must be greater than 16")]
    RabinMin,
    /// The three numbers do not ascend.
    #[error("incorrect format: rabin-{0} must be smaller than rabin-{1}")]
    RabinOrder(&'static str, &'static str),
}

impl Default for ChunkerSpec {
    fn default() -> Self {
        Self::Size(DEFAULT_CHUNK_SIZE)
    }
}

impl ChunkerSpec {
    /// Reads `default` (or nothing), `size-N`, `rabin`, `rabin-AVG`, `rabin-MIN-AVG-MAX` or `buzhash`.
    ///
    /// # Errors
    /// When the text is none of these, or a number is out of bounds.
    pub fn parse(text: &str) -> Result<Self, ChunkerError> {
        let parts: Vec<&str> = text.split('-').collect();
        match parts.as_slice() {
            ["" | "default"] => Ok(Self::default()),
            ["size", size] => {
                let spec = Self::Size(number(size)?);
                spec.validate().map(|()| spec)
            }
            ["size", ..] => Err(ChunkerError::SizeFormat),
            ["rabin"] => Ok(Self::rabin(DEFAULT_CHUNK_SIZE)),
            ["rabin", avg] => {
                let avg = number(avg)?;
                // The check comes before the sum, which could overflow.
                if avg > MAX_CHUNK_SIZE {
                    return Err(ChunkerError::TooLarge);
                }
                let spec = Self::rabin(avg);
                spec.validate().map(|()| spec)
            }
            ["rabin", min, avg, max] => {
                let min = number(labelled(min, "first", "min")?)?;
                let avg = number(labelled(avg, "second", "avg")?)?;
                let max = number(labelled(max, "final", "max")?)?;
                let spec = Self::Rabin { min, avg, max };
                spec.validate().map(|()| spec)
            }
            ["rabin", ..] => Err(ChunkerError::RabinFormat),
            // Deployed nodes ignore what follows the name.
            ["buzhash", ..] => Ok(Self::Buzhash),
            _ => Err(ChunkerError::Unknown(text.to_owned())),
        }
    }

    /// Rabin with the bounds that follow from an average.
    fn rabin(avg: usize) -> Self {
        Self::Rabin { min: avg / 3, avg, max: avg + avg / 2 }
    }

    /// Checks the limits, for a spec that was not parsed.
    ///
    /// # Errors
    /// When a number is out of bounds.
    pub fn validate(&self) -> Result<(), ChunkerError> {
        match *self {
            Self::Size(0) => Err(ChunkerError::Zero),
            Self::Rabin { min, .. } if min < MIN_RABIN => Err(ChunkerError::RabinMin),
            Self::Rabin { min, avg, .. } if min >= avg => Err(ChunkerError::RabinOrder("min", "avg")),
            Self::Rabin { avg, max, .. } if avg >= max => Err(ChunkerError::RabinOrder("avg", "max")),
            _ if self.max_chunk() > MAX_CHUNK_SIZE => Err(ChunkerError::TooLarge),
            _ => Ok(()),
        }
    }

    /// Longest chunk in bytes.
    pub fn max_chunk(&self) -> usize {
        match *self {
            Self::Size(size) => size,
            Self::Rabin { max, .. } => max,
            Self::Buzhash => super::buzhash::MAX,
        }
    }
}

impl fmt::Display for ChunkerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "size-{size}"),
            Self::Rabin { min, avg, max } => write!(f, "rabin-{min}-{avg}-{max}"),
            Self::Buzhash => f.write_str("buzhash"),
        }
    }
}

/// The number after an optional label, as in `min:16`.
fn labelled<'a>(text: &'a str, which: &'static str, label: &'static str) -> Result<&'a str, ChunkerError> {
    match text.split_once(':') {
        None => Ok(text),
        Some((l, _)) if l != label => Err(ChunkerError::Label(which, label)),
        Some((_, rest)) => Ok(rest.rsplit(':').next().unwrap_or(rest)),
    }
}

fn number(text: &str) -> Result<usize, ChunkerError> {
    text.parse().map_err(|e: std::num::ParseIntError| ChunkerError::Number {
        text: text.to_owned(),
        reason: if *e.kind() == IntErrorKind::PosOverflow { "value out of range" } else { "invalid syntax" },
    })
}
