//! Asks servers how they are, in four-letter words on a connection of its own for each.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use zooky::session::{Inquiry, InquiryError, TlsConfig};

use crate::core::health::Health;
use crate::follow::Shared;

/// How often.
const EVERY: Duration = Duration::from_secs(2);
/// How long a server may take to accept, and to answer a word.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks all of them again and again, for as long as it is polled.
pub(crate) async fn ask_for_ever(shared: &Shared, servers: &[String], tls: Option<&TlsConfig>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let health = join_all(servers.iter().map(|server| ask(server, tls))).await;
        shared.set_health(health);
    }
}

async fn ask(server: &str, tls: Option<&TlsConfig>) -> Health {
    let begun = Instant::now();
    let answer = match word(server, "srvr", tls).await {
        Ok(answer) => answer,
        Err(why) => return Health::silent(server, why.to_string()),
    };
    let answered = u64::try_from(begun.elapsed().as_millis()).ok();
    let mut health = Health { server: server.to_owned(), answered_ms: answered, ..Health::default() };
    health.read_srvr(&answer);
    // Often not on the list of words that are answered; that is no fault.
    if let Ok(answer) = word(server, "mntr", tls).await {
        health.read_mntr(&answer);
    }
    health
}

async fn word(server: &str, word: &str, tls: Option<&TlsConfig>) -> Result<String, InquiryError> {
    Inquiry::open(server, tls, PATIENCE).await?.ask(word).await
}
