//! The first frame of a connection.
