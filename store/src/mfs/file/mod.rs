//! A file whose content can be changed.
