//! Extraction: what is written, and what is refused.
