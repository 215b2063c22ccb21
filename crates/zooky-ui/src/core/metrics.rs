//! The picture as numbers for Prometheus, in its text format.
//!
//! No number carries a lock's path: how many there are does not grow with the names of locks.

use std::fmt::Write;

use super::health::Health;
use super::model::Model;
use super::tally::{BUCKETS_MS, ByMode, Histogram};

/// What is put into the text besides the model.
pub(crate) struct Around<'a> {
    pub(crate) health: &'a [Health],
    /// Whether the server tells whose sessions have expired.
    pub(crate) tells_losses: bool,
}

/// The text.
pub(crate) fn write(model: &Model, around: &Around<'_>) -> String {
    let mut out = Text(String::with_capacity(8 << 10));
    let (held, waiting) = model.counts();
    let (locks_held, locks) = model.lock_counts();
    out.one("zooky_locks", "gauge", "Locks below the roots, free ones included", locks as f64);
    out.one("zooky_locks_held", "gauge", "Locks that somebody holds", locks_held as f64);
    out.one("zooky_holders", "gauge", "Contenders that hold a lock", held as f64);
    out.one("zooky_waiters", "gauge", "Contenders that wait", waiting as f64);
    out.one("zooky_deadlocks", "gauge", "Groups of owners who wait for each other", model.cycles() as f64);
    let live = f64::from(u8::from(model.link.live));
    out.one("zooky_picture_live", "gauge", "Whether the locks are followed at this time", live);
    let modes = [("exclusive", &model.tally.exclusive), ("shared", &model.tally.shared)];
    out.head("zooky_grants_total", "counter", "Locks seen to be granted");
    for (mode, of) in modes {
        out.line("zooky_grants_total", &[("mode", mode)], of.grants as f64);
    }
    out.histogram("zooky_wait_seconds", "From joining the queue to the grant", modes, |of| &of.wait);
    out.histogram("zooky_hold_seconds", "From the grant until the node was gone", modes, |of| &of.hold);
    if around.tells_losses {
        out.head("zooky_losses_total", "counter", "Holders whose session expired");
        for (mode, of) in modes {
            out.line("zooky_losses_total", &[("mode", mode)], of.losses as f64);
        }
    } else if around.health.iter().any(|health| health.sessions_expired().is_some()) {
        let help = "Holders whose node went when servers let as many sessions expire";
        out.head("zooky_losses_suspected_total", "counter", help);
        for (mode, of) in modes {
            out.line("zooky_losses_suspected_total", &[("mode", mode)], of.suspected as f64);
        }
    }
    out.one(
        "zooky_freed_total",
        "counter",
        "Contenders removed by this page's users",
        model.tally.freed as f64,
    );
    let left_s = model.link.left_ms as f64 / 1_000.0;
    out.one("zooky_session_left_seconds", "gauge", "How long our session lives on for certain", left_s);
    out.servers(around.health);
    out.0
}

struct Text(String);

impl Text {
    // Writing to a string cannot fail.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        modes: [(&str, &ByMode); 2],
        of: impl Fn(&ByMode) -> &Histogram,
    ) {
        self.head(name, "histogram", help);
        for (mode, by_mode) in modes {
            let histogram = of(by_mode);
            let mut below = 0;
            for (bound_ms, count) in BUCKETS_MS.iter().zip(histogram.counts) {
                below += count;
                let bound = (*bound_ms as f64 / 1_000.0).to_string();
                self.line(&format!("{name}_bucket"), &[("mode", mode), ("le", &bound)], below as f64);
            }
            let count = histogram.count() as f64;
            self.line(&format!("{name}_bucket"), &[("mode", mode), ("le", "+Inf")], count);
            self.line(&format!("{name}_sum"), &[("mode", mode)], histogram.sum_ms as f64 / 1_000.0);
            self.line(&format!("{name}_count"), &[("mode", mode)], count);
        }
    }

    /// What the servers tell of themselves, where they do.
    fn servers(&mut self, servers: &[Health]) {
        if servers.is_empty() {
            return;
        }
        self.head("zooky_server_answers", "gauge", "Whether the server answers to srvr");
        for health in servers {
            let answers = health.answered_ms.is_some() && health.why.is_none();
            let answers = f64::from(u8::from(answers));
            self.line("zooky_server_answers", &[("server", &health.server)], answers);
        }
        let told: Vec<_> =
            servers.iter().filter_map(|health| Some((health, health.sessions_expired()? as f64))).collect();
        if !told.is_empty() {
            let help = "Sessions that the server let expire: each may have been a holder that lost its locks";
            self.head("zooky_server_sessions_expired_total", "counter", help);
            for (health, expired) in told {
                self.line("zooky_server_sessions_expired_total", &[("server", &health.server)], expired);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted() {
        let name = |n: i64| format!("0123456789abcdef0123456789abcdef__lock__{n:010}");
        let mut model = Model::default();
        model.joined("/locks/a", &name(1), true, 1_000);
        model.joined("/locks/a", &name(2), true, 1_200);
        model.joined("/locks/a", &name(3), true, 1_200);
        // Only the first of them holds it.
        model.expired(&[1, 3, 4].map(|n| format!("/locks/a/{}", name(n))));
        model.left("/locks/a", &name(1), 1_700);
        model.left("/locks/a", &name(3), 1_700);
        model.directory("/locks/free");
        let health = Health { server: "a\"b:1".to_owned(), ..Health::default() };
        let text = write(&model, &Around { health: &[health], tells_losses: true });
        for line in [
            "zooky_locks 2",
            "zooky_locks_held 1",
            "zooky_holders 1",
            "zooky_waiters 0",
            "zooky_grants_total{mode=\"exclusive\"} 2",
            "zooky_wait_seconds_bucket{mode=\"exclusive\",le=\"0.001\"} 1",
            "zooky_wait_seconds_bucket{mode=\"exclusive\",le=\"0.5\"} 2",
            "zooky_wait_seconds_sum{mode=\"exclusive\"} 0.5",
            "zooky_losses_total{mode=\"exclusive\"} 1",
            "zooky_hold_seconds_count{mode=\"exclusive\"} 1",
            "zooky_hold_seconds_bucket{mode=\"exclusive\",le=\"+Inf\"} 1",
            "zooky_server_answers{server=\"a\\\"b:1\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let named = |name: &str| text.matches(&format!("# TYPE {name} ")).count();
            assert_eq!(named(name) + family.map_or(0, named), 1, "{line}");
        }
    }
}
