//! The connection itself.
