//! kazoo's own test suite, as PyPI has it, against our server: every test passes, but for those that
//! `tests/kazoo_suite/exceptions.tsv` lists with a reason.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zooky_server::{Config, FourLetterWords, Server};
use zooky_testkit::{free_port, python_venv};

/// How many tests kazoo 2.11.0 has: fewer would mean that some were not found.
const TESTS: usize = 493;
/// `super:test`, with which kazoo's tests log in.
const SUPER: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
/// How long one test may take, in seconds.
const TEST_SECONDS: &str = "60";

/// Not a test of its own: the server that the suite starts.
#[test]
fn serve_as_child() {
    let Some(dir) = std::env::var_os("ZOOKY_TEST_SERVER_DIR") else { return };
    let listen = std::env::var("ZOOKY_TEST_SERVER_LISTEN").unwrap();
    let mut config = Config::new(listen.parse().unwrap(), dir);
    config.four_letter_words = FourLetterWords::All;
    config.super_digest = Some(SUPER.into());
    let server = Server::start(config).unwrap();
    println!("\nserving as {} at {}", std::process::id(), server.addr());
    server.wait().unwrap();
}

#[test]
fn kazoo_s_own_suite_passes() {
    let work = tempfile::Builder::new().prefix("zooky-kazoo-").tempdir().unwrap();
    let tests = kazoo_tests();
    let mut results = run(&work.path().join("all"), std::slice::from_ref(&tests));
    assert!(results.len() >= TESTS, "kazoo has {TESTS} tests, {} were found", results.len());
    let failed: Vec<String> = names(&results, "failed");
    let exceptions = exceptions();
    // What fails on a busy machine passes alone.
    let again: Vec<PathBuf> = failed
        .iter()
        .filter(|name| !listed(&exceptions, "fail", name))
        .map(|name| tests.join(name))
        .collect();
    if !again.is_empty() {
        println!("once more: {failed:#?}");
        results.extend(run(&work.path().join("again"), &again));
    }
    let wrong = judge(&results, &exceptions);
    let passed = names(&results, "passed").len();
    println!("{passed} passed of {}", results.len());
    assert!(wrong.is_empty(), "not as tests/kazoo_suite/exceptions.tsv has it:\n{}", wrong.join("\n"));
}

/// What is not as the exceptions say: failures and skips that are not listed, and lines that say too much.
fn judge(results: &Results, exceptions: &[(String, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, (outcome, why)) in results {
        let kinds: &[&str] = match outcome.as_str() {
            "failed" => &["fail"],
            "skipped" => &["n/a", "skip"],
            "passed" => &[],
            _ => &["no outcome that is known"],
        };
        if outcome == "passed" && ["fail", "skip"].iter().any(|kind| listed(exceptions, kind, name)) {
            wrong.push(format!("passes, though it is listed: {name}"));
        }
        if outcome != "passed" && !kinds.iter().any(|kind| listed(exceptions, kind, name)) {
            wrong.push(format!("{outcome}, and not listed: {name}: {why}"));
        }
    }
    for (kind, pattern) in exceptions {
        if !results.keys().any(|name| matches_pattern(pattern, name)) {
            wrong.push(format!("listed, and kazoo does not have it: {kind} {pattern}"));
        }
    }
    wrong
}

#[test]
fn the_judge_is_strict_both_ways() {
    let exceptions: Vec<(String, String)> =
        [("fail", "a::known"), ("n/a", "b::*"), ("skip", "c")].map(|(k, p)| (k.into(), p.into())).into();
    let with = |changes: &[(&str, &str)]| {
        let usual = [("a::known", "failed"), ("a::good", "passed"), ("b::one", "skipped"), ("c", "skipped")];
        let row = |&(name, outcome): &(&str, &str)| (name.to_owned(), (outcome.to_owned(), String::new()));
        let results: Results = usual.iter().chain(changes).map(row).collect();
        judge(&results, &exceptions)
    };
    assert_eq!(with(&[]), [""; 0]);
    for (change, complaint) in [
        (("a::good", "failed"), "failed, and not listed: a::good: "),
        (("a::good", "skipped"), "skipped, and not listed: a::good: "),
        (("a::good", "lost"), "lost, and not listed: a::good: "),
        (("b::one", "failed"), "failed, and not listed: b::one: "),
        (("a::known", "passed"), "passes, though it is listed: a::known"),
        (("c", "passed"), "passes, though it is listed: c"),
    ] {
        assert_eq!(with(&[change]), [complaint]);
    }
    let none = judge(&Results::new(), &exceptions);
    assert_eq!(none.len(), 3, "{none:?}");
}

type Results = BTreeMap<String, (String, String)>;

/// Runs some of the tests, with all they leave in `out`; by name what came of each, and why.
fn run(out: &Path, tests: &[PathBuf]) -> Results {
    fs::create_dir_all(out).unwrap();
    let me = std::env::current_exe().unwrap();
    let server = ["--exact", "serve_as_child", "--nocapture", "--test-threads=1"];
    let server: Vec<String> =
        [me.to_str().unwrap()].iter().chain(&server).map(|word| format!("{word:?}")).collect();
    let log = fs::File::create(out.join("pytest.log")).unwrap();
    let mut pytest = Command::new(python_venv());
    pytest.args(["-m", "pytest", "-p", "zooky_server_plugin", "-p", "no:cacheprovider", "-c", "/dev/null"]);
    pytest.args(["-q", "--tb=short", "--show-capture=no", "--timeout", TEST_SECONDS]);
    pytest.arg("--rootdir").arg(kazoo_tests()).args(tests);
    pytest.env("PYTHONPATH", suite_dir()).env("PYTHONDONTWRITEBYTECODE", "1");
    pytest.env("ZOOKY_SUITE_SERVER", format!("[{}]", server.join(", ")));
    pytest.env("ZOOKY_SUITE_PORT", free_port().to_string());
    pytest.env("ZOOKY_SUITE_LIST", suite_dir().join("exceptions.tsv")).env("ZOOKY_SUITE_OUT", out);
    pytest.stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
    let status = pytest.status().unwrap();
    let said = fs::read_to_string(out.join("pytest.log")).unwrap();
    // 0: all passed, 1: some failed; everything else is no run at all.
    assert!(matches!(status.code(), Some(0 | 1)), "pytest ended with {status}:\n{said}");
    let table = fs::read_to_string(out.join("results.tsv")).unwrap();
    let row = |line: &str| {
        let mut fields = line.splitn(3, '\t').map(str::to_owned);
        let mut field = || fields.next().unwrap_or_default();
        let (outcome, name, why) = (field(), field(), field());
        (name, (outcome, why))
    };
    table.lines().map(row).collect()
}

fn names(results: &Results, outcome: &str) -> Vec<String> {
    let these = results.iter().filter(|(_, (is, _))| is == outcome);
    these.map(|(name, _)| name.clone()).collect()
}

fn suite_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kazoo_suite").canonicalize().unwrap()
}

/// Where the installed kazoo has its tests.
fn kazoo_tests() -> PathBuf {
    let find = "import os, kazoo; print(os.path.join(os.path.dirname(kazoo.__file__), 'tests'))";
    let said = Command::new(python_venv()).args(["-c", find]).output().unwrap().stdout;
    PathBuf::from(String::from_utf8(said).unwrap().trim())
}

/// Kinds and patterns of `exceptions.tsv`; a line without a reason is an error.
fn exceptions() -> Vec<(String, String)> {
    let text = fs::read_to_string(suite_dir().join("exceptions.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let row = |line: &str| match line.split('\t').collect::<Vec<_>>()[..] {
        [kind @ ("n/a" | "skip" | "fail"), pattern, reason] if !reason.trim().is_empty() => {
            (kind.to_owned(), pattern.to_owned())
        }
        _ => panic!("exceptions.tsv: not kind, test and reason: {line:?}"),
    };
    lines.map(row).collect()
}

fn listed(exceptions: &[(String, String)], kind: &str, name: &str) -> bool {
    exceptions.iter().any(|(is, pattern)| is == kind && matches_pattern(pattern, name))
}

/// The patterns end in `*` or are whole names.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}
