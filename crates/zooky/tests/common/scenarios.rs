//! Every scenario of a test binary on three servers. They share the servers, whose start takes longer than most of them.
//!
//! `ZOOKY_SCENARIO=PART` runs those only whose names have this part.

use std::pin::Pin;
use std::sync::Mutex;
use std::time::Instant;
use std::{env, iter, thread};

use zooky_testkit::Ensemble;

use super::{LONG, Observer, run};

/// How many run at the same time: most of the time each waits for the servers.
const AT_ONCE: usize = 4;

/// One that [`backends!`](crate::backends) has taken in.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(String) -> Pin<Box<dyn Future<Output = ()>>>,
    /// The test that runs it; named here so that it cannot be missing.
    pub on_three_servers: fn(),
}

inventory::collect!(Scenario);

/// Runs them all, and tells of each that failed.
pub fn run_all() {
    let part = env::var("ZOOKY_SCENARIO").unwrap_or_default();
    let mut scenarios: Vec<&Scenario> =
        inventory::iter::<Scenario>().filter(|scenario| scenario.name.contains(&part)).collect();
    scenarios.sort_by_key(|scenario| scenario.name);
    assert!(!scenarios.is_empty(), "no scenario has {part:?} in its name");
    let ensemble = Ensemble::start();
    let hosts = ensemble.hosts();
    // By nobody's rules: whichever came first would make it by its own.
    run(LONG, async { Observer::new(&hosts).await.make("/tests").await });
    let queue = Mutex::new(scenarios.into_iter());
    let next = || queue.lock().unwrap().next();
    let some = || iter::from_fn(next).filter_map(|scenario| failure(scenario, &hosts)).collect::<Vec<_>>();
    let failures = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(failures.is_empty(), "{} failed on three servers:\n{}", failures.len(), failures.join("\n"));
}

/// Runs one of them; how it failed, if it did.
fn failure(scenario: &Scenario, hosts: &str) -> Option<String> {
    let (name, scenario, hosts, begun) = (scenario.name, scenario.run, hosts.to_owned(), Instant::now());
    // In a thread of this name, which the message of a panic begins with.
    let running = thread::Builder::new().name(name.to_owned()).spawn(move || run(LONG, scenario(hosts)));
    let ended = running.unwrap().join();
    println!("{name} took {:?}", begun.elapsed());
    let panic = ended.err()?;
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    Some(format!("{name}: {}", text.unwrap_or("it panicked")))
}
