//! The full-screen table of `zooky top`: keys and the passing of time in, one screen after the other out.

mod cursor;
mod draw;
mod queue;
mod state;

use crate::exit::Failure;
use crate::locks;
use ratatui::crossterm::event::{self, Event};
use state::{Act, State};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use zooky::{Client, Revoke};
use zooky_ui::Follower;

/// How often the table is drawn when nothing is typed.
const TICK: Duration = Duration::from_millis(500);
/// How long the thread that reads keys sleeps before it looks whether anybody still listens.
const LOOK: Duration = Duration::from_millis(200);

/// Shows the table until the user quits, or TERM comes. The terminal is left as it was.
pub(crate) async fn run(client: &Client, follower: &Follower) -> Result<(), Failure> {
    let mut term =
        signal(SignalKind::terminate()).map_err(|error| Failure::os("cannot catch signals", error))?;
    let mut terminal =
        ratatui::try_init().map_err(|error| Failure::os("cannot take the terminal over", error))?;
    let _restored = Restored;
    let (typed, mut keys) = mpsc::channel(64);
    std::thread::spawn(move || read_keys(&typed));
    let mut tick = tokio::time::interval(TICK);
    let mut state = State::default();
    loop {
        state.show(follower.rows(), follower.stale());
        state.show_queue(|path| follower.queue(path));
        terminal.draw(|frame| draw::screen(frame, &mut state))?;
        let act = tokio::select! {
            Some(event) = keys.recv() => state.event(&event),
            _ = tick.tick() => Act::Nothing,
            _ = term.recv() => Act::Quit,
        };
        match act {
            Act::Nothing => {}
            Act::Quit => return Ok(()),
            Act::Revoke { holders, immediately } => {
                let how = if immediately { Revoke::immediately() } else { Revoke::ask() };
                let mut words = Vec::new();
                for holder in &holders {
                    words.push(revoke(client, holder, how).await);
                }
                state.told = words.join("; ");
            }
        }
    }
}

async fn revoke(client: &Client, holder: &zooky::inspect::Contender, how: Revoke) -> String {
    let who = locks::describe(holder);
    match zooky::revoke(client, holder, how).await {
        Ok(done) if !done.removed.is_empty() => {
            format!("removed {who}; nothing stops it if it is still at work")
        }
        Ok(done) if !done.asked.is_empty() => format!("asked {who}"),
        Ok(done) if !done.deaf.is_empty() => format!("{who} cannot be asked: its client does not listen"),
        Ok(_) => format!("{who} has left meanwhile"),
        Err(fault) => format!("{who}: {fault}"),
    }
}

/// Puts the terminal back, however this ends.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn read_keys(typed: &mpsc::Sender<Event>) {
    while !typed.is_closed() {
        match event::poll(LOOK) {
            Ok(false) => {}
            Ok(true) => match event::read() {
                Ok(event) => drop(typed.blocking_send(event)),
                Err(_) => return,
            },
            Err(_) => return,
        }
    }
}
