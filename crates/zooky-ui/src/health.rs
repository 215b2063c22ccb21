//! Asks servers how they are, in four-letter words on a connection of its own for each.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::core::health::Health;
use crate::follow::Shared;

/// How often.
const EVERY: Duration = Duration::from_secs(2);
/// How long a server may take to answer a word.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer that is read: `mntr` of a newer Apache ZooKeeper has some tens of kilobytes.
const ANSWER: u64 = 1 << 20;

/// Asks all of them again and again, for as long as it is polled.
pub(crate) async fn ask_for_ever(shared: &Shared, servers: &[String]) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let health = join_all(servers.iter().map(|server| ask(server))).await;
        shared.set_health(health);
    }
}

async fn ask(server: &str) -> Health {
    let begun = Instant::now();
    let answer = match word(server, "srvr").await {
        Ok(answer) => answer,
        Err(why) => return Health::silent(server, why),
    };
    let answered = u64::try_from(begun.elapsed().as_millis()).ok();
    let mut health = Health { server: server.to_owned(), answered_ms: answered, ..Health::default() };
    health.read_srvr(&answer);
    // Often not on the list of words that are answered; that is no fault.
    if let Ok(answer) = word(server, "mntr").await {
        health.read_mntr(&answer);
    }
    health
}

async fn word(server: &str, word: &str) -> Result<String, String> {
    let talk = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(word.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(PATIENCE, talk).await {
        Ok(Ok(answer)) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        Ok(Err(error)) => Err(format!("{word}: {error}")),
        Err(_) => Err(format!("{word}: no answer in {} s", PATIENCE.as_secs())),
    }
}
