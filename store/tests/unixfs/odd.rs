//! Odd flags.
