//! What operators see: each number and each span that `docs/observing.md` names, once it happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use common::{Observer, client, eventually, path, telling};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use zooky::{Lock, Owner, RwLock};

/// Everything counted so far, by name and labels. (A snapshot takes the histograms' samples out.)
#[derive(Default)]
struct Numbers {
    counters: BTreeMap<String, u64>,
    /// What was counted before this scenario: the recorder is the process's.
    before: BTreeMap<String, u64>,
    samples: BTreeMap<String, Vec<f64>>,
}

impl Numbers {
    /// From now on.
    fn since_now(snapshotter: &Snapshotter) -> Numbers {
        let mut earlier = Numbers::default();
        earlier.take_in(snapshotter);
        Numbers { before: earlier.counters, ..Numbers::default() }
    }

    fn take_in(&mut self, snapshotter: &Snapshotter) {
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let key = key.key();
            let labels: String = key.labels().map(|l| format!("{{{}={}}}", l.key(), l.value())).collect();
            let name = format!("{}{labels}", key.name());
            match value {
                DebugValue::Counter(count) => _ = self.counters.insert(name, count),
                DebugValue::Histogram(new) => {
                    self.samples
                        .entry(name)
                        .or_default()
                        .extend(new.iter().map(|sample| sample.into_inner()));
                }
                DebugValue::Gauge(_) => {}
            }
        }
    }

    fn count(&self, name: &str) -> u64 {
        let [now, before] = [&self.counters, &self.before].map(|all| all.get(name).copied().unwrap_or(0));
        now - before
    }

    fn largest(&self, name: &str) -> f64 {
        self.samples.get(name).into_iter().flatten().copied().fold(0.0, f64::max)
    }
}

/// Keeps the spans with their fields, and which of them are over.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<u64, Seen>>>);

#[derive(Clone, Default, Debug)]
struct Seen {
    name: &'static str,
    fields: BTreeMap<String, String>,
    over: bool,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut seen = Seen { name: attributes.metadata().name(), ..Seen::default() };
        attributes.record(&mut seen);
        self.0.lock().unwrap().insert(id.into_u64(), seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(seen) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            values.record(seen);
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        if let Some(seen) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            seen.over = true;
        }
    }
}

impl Spans {
    fn of(&self, name: &str, path: &str) -> Vec<Seen> {
        let all = self.0.lock().unwrap();
        let ours =
            |seen: &&Seen| seen.name == name && seen.fields.get("path").map(String::as_str) == Some(path);
        all.values().filter(ours).cloned().collect()
    }
}

/// The recorder and the subscriber are the process's: one scenario at a time has them.
static OBSERVED: LazyLock<tokio::sync::Mutex<(Snapshotter, Spans)>> = LazyLock::new(|| {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tokio::sync::Mutex::new((snapshotter, spans))
});

ensemble!();

backends!(what_happens_is_counted_and_traced:
    ours_what_happens_is_counted_and_traced,
    apache_what_happens_is_counted_and_traced);

async fn what_happens_is_counted_and_traced(hosts: String) {
    let observed = OBSERVED.lock().await;
    let (snapshotter, spans) = &*observed;
    let mut numbers = Numbers::since_now(snapshotter);
    let client = client(&hosts).await;
    let path = path("observed");
    let lock = Lock::new(&client, &path).unwrap();

    // Held for a while, while another waits.
    let held = lock.acquire().await.unwrap();
    let token = held.fencing_token().to_string();
    let (next, mut waits) = telling(lock.clone());
    let waiting = tokio::spawn(async move { next.acquire().await.unwrap() });
    waits.recv().await.unwrap();
    let waiter_span = &spans.of("wait", &path)[0];
    assert!(held.path().ends_with(&waiter_span.fields["blocker"]) && !waiter_span.over, "{waiter_span:?}");
    let hold = &spans.of("hold", &path)[0];
    assert_eq!(
        (&hold.fields["node"], &hold.fields["token"], hold.over),
        (&held.path().to_owned(), &token, false)
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    let node = held.path().to_owned();
    held.release().await.unwrap();
    let second = waiting.await.unwrap();
    numbers.take_in(snapshotter);
    assert_eq!(numbers.count("zooky_lock_acquires_total{mode=exclusive}"), 2);
    assert_eq!(numbers.count("zooky_lock_waits_total{mode=exclusive}"), 1);
    assert_eq!(numbers.count("zooky_lock_releases_total{mode=exclusive}"), 1);
    assert!(numbers.largest("zooky_lock_wait_seconds{mode=exclusive}") > 0.15);
    assert!(numbers.largest("zooky_lock_hold_seconds{mode=exclusive}") > 0.15);
    assert_eq!(numbers.samples["zooky_lock_handoff_seconds{mode=exclusive}"].len(), 1);
    assert!(numbers.largest("zooky_lock_handoff_seconds{mode=exclusive}") < 10.0);
    let acquired: BTreeSet<_> =
        spans.of("acquire", &path).iter().map(|s| s.fields["token"].clone()).collect();
    assert_eq!(acquired, BTreeSet::from([token, second.fencing_token().to_string()]));
    eventually("the ends of the spans", || async {
        let ended = |name| spans.of(name, &path).iter().filter(|span| span.over).count();
        ((ended("acquire"), ended("wait"), ended("hold"), ended("release")) == (2, 1, 1, 1)).then_some(())
    })
    .await;
    assert_eq!(spans.of("release", &path)[0].fields["node"], node);

    // Busy, timed out, refused, denied, deadlocked.
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(lock.acquire_timeout(Duration::from_millis(20)).await.is_err());
    let me = Owner::this_process().with_id("me");
    let crosswise = lock.clone().with_owner(me).refuse_deadlock(true);
    drop(second);
    let mine = crosswise.acquire().await.unwrap();
    assert!(crosswise.acquire().await.is_err());
    drop(mine);
    Observer::new(&hosts).await.make(&format!("{path}-strange/child")).await;
    assert!(Lock::new(&client, &format!("{path}-strange")).unwrap().acquire().await.is_err());
    let readers = RwLock::new(&client, &format!("{path}-rw")).unwrap();
    readers.read().await.unwrap().release().await.unwrap();
    numbers.take_in(snapshotter);
    assert_eq!(numbers.count("zooky_lock_busy_total{mode=exclusive}"), 1);
    for reason in ["timeout", "deadlock", "refused"] {
        assert_eq!(numbers.count(&format!("zooky_lock_failures_total{{reason={reason}}}")), 1, "{reason}");
    }
    assert_eq!(numbers.count("zooky_lock_acquires_total{mode=shared}"), 1);
    assert_eq!(numbers.count("zooky_lock_releases_total{mode=shared}"), 1);

    // Lost: its node is deleted, and then its session.
    let lost = lock.acquire().await.unwrap();
    client.current().delete(lost.path(), -1).await.unwrap();
    lost.lost().await;
    assert!(lost.release().await.is_err());
    let lost = lock.acquire().await.unwrap();
    client.current().close().await.unwrap();
    assert!(!lost.is_held());
    drop(lost);
    lock.acquire().await.unwrap().release().await.unwrap();
    numbers.take_in(snapshotter);
    assert_eq!(numbers.count("zooky_lock_losses_total{mode=exclusive}"), 2);
    assert_eq!(numbers.count("zooky_sessions_replaced_total"), 1);
    assert_eq!(spans.of("hold", &path).iter().filter(|span| span.fields.contains_key("lost")).count(), 2);
    let acquires = numbers.count("zooky_lock_acquires_total{mode=exclusive}");
    assert_eq!(numbers.count("zooky_lock_releases_total{mode=exclusive}"), acquires);

    // All that there are are documented.
    let docs = include_str!("../../../docs/observing.md");
    for name in numbers.counters.keys().chain(numbers.samples.keys()) {
        let name = name.split('{').next().unwrap();
        assert!(docs.contains(&format!("`{name}`")), "{name} is missing in docs/observing.md");
    }
}

/// With nobody listening, what is added to a free lock's cycle: far below a microsecond in a release build.
#[test]
fn numbers_cost_next_to_nothing_unless_somebody_listens() {
    // The facade's own way: a recorder that does nothing, as long as none is installed on this thread.
    let noop = metrics::NoopRecorder;
    metrics::with_local_recorder(&noop, || {
        let rounds = 1_000;
        let look = |_| {
            let begun = Instant::now();
            for _ in 0..rounds {
                metrics::counter!("zooky_lock_acquires_total", "mode" => "exclusive").increment(1);
                metrics::histogram!("zooky_lock_wait_seconds", "mode" => "exclusive").record(0.5);
            }
            begun.elapsed() / rounds
        };
        // The shortest look is one that nobody else's turn fell into.
        let each = (0..100).map(look).min().unwrap();
        println!("a counter and a histogram: {each:?}");
        // Without optimisation.
        assert!(each < Duration::from_micros(20), "{each:?}");
    });
}
