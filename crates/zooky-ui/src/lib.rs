//! The locks of a ZooKeeper, followed live.
//!
//! A [`Follower`] keeps a picture of all locks below some roots: who holds them, who waits, since when. It needs one session
//! and, where the server has them, one recursive watch for each root, whatever the number of locks. On the picture
//! stand the page ([`serve`]), `zooky top` and the numbers for Prometheus ([`Follower::metrics`]).
//!
//! It changes nothing at the server, but for what [`serve`]'s users free with the token.
//!
//! | part | what it knows |
//! |---|---|
//! | `core` | the picture, its history and its numbers; pure |
//! | `follow` | the session, watches, listings |
//! | `health` | what `srvr` and `mntr` say of each server |
//! | `http` | the page, its events, what it may change |
#![forbid(unsafe_code)]

mod core;
mod follow;
mod health;
mod http;

pub use core::row::{Holder, Place, Row};
pub use follow::{Follower, How};
pub use http::{Page, ServeError, Token, serve};
