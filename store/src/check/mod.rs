//! Whether the repository is what it should be.
