//! Real nodes over loopback.
