//! A durable ZooKeeper server in one process.
pub mod core;
