//! The dashboard for Grafana asks for numbers that there are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every `zooky_…` in a text, without the ends that a histogram's lines have.
fn names(text: &str) -> BTreeSet<String> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !word(letter)).filter(|name| name.starts_with("zooky_"));
    let family = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    words.map(family).collect()
}

#[test]
fn the_dashboard_asks_for_numbers_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&read("docs/grafana/zooky.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let asked: BTreeSet<String> =
        targets.flat_map(|target| names(target["expr"].as_str().unwrap())).collect();
    assert!(asked.len() > 10, "{asked:?}");
    let sources = [
        "crates/zooky-ui/src/core/metrics.rs",
        "crates/zooky/src/observe.rs",
        "crates/zooky-server/src/net/metrics.rs",
    ];
    let known: BTreeSet<String> = sources.iter().flat_map(|path| names(&read(path))).collect();
    let unknown: Vec<_> = asked.difference(&known).collect();
    assert!(unknown.is_empty(), "nobody tells {unknown:?}");
    // And the page tells nothing that its documentation does not.
    let documented = names(&read("docs/ui.md"));
    for name in names(&read(sources[0])) {
        assert!(documented.contains(&name), "docs/ui.md does not tell of {name}");
    }
}
