//! Cutting the power.
