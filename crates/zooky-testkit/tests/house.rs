//! The rules of the house, checked: who imports whom, pure cores, and files that say what they are for.
//!
//! Each rule is a function over text, and has a test of its own that feeds it a violation.

// Helpers of tests, too, fail by panicking; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crate, what it may depend on of ours, and what its tests may depend on besides. Everyone's tests may use
/// the testkit.
const MAY_IMPORT: &[(&str, &[&str], &[&str])] = &[
    ("zooky-wire", &[], &[]),
    ("zooky-client", &["zooky-wire"], &["zooky-server"]),
    ("zooky-server", &["zooky-wire"], &[]),
    ("zooky", &["zooky-client"], &["zooky-server"]),
    ("zooky-ui", &["zooky"], &["zooky-server"]),
    ("zooky-cli", &["zooky", "zooky-server", "zooky-ui"], &[]),
    ("zooky-python", &["zooky", "zooky-server", "zooky-cli"], &[]),
    ("zooky-testkit", &[], &[]),
    // The simulator, and the same sources built a second time for it.
    ("zooky-sim-machine", &[], &[]),
    ("zooky-sim-getrandom", &["zooky-sim-machine"], &[]),
    ("zooky-client-simulated", &["zooky-wire", "zooky-sim-machine", "zooky-sim-getrandom"], &[]),
    (
        "zooky-simulated",
        &["zooky-client", "zooky-client-simulated", "zooky-sim-machine", "zooky-sim-getrandom"],
        &[],
    ),
    (
        "zooky-sim",
        &["zooky-wire", "zooky-server", "zooky", "zooky-simulated", "zooky-sim-machine", "zooky-testkit"],
        &[],
    ),
    ("zooky-bench", EVERY_LIBRARY, &[]),
    ("zooky-fuzz", EVERY_LIBRARY, &[]),
];
const EVERY_LIBRARY: &[&str] = &["zooky-wire", "zooky-client", "zooky-server", "zooky", "zooky-testkit"];

/// What no file under a `core/` directory names: a runtime, a file, a socket, a thread, a clock, chance.
const IMPURE: &[&str] = &[
    "tokio",
    "mio",
    "rustix",
    "socket2",
    "rand",
    "getrandom",
    "std::fs",
    "std::thread",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "::now()",
];

const LONG_FILE: usize = 400;
const TOO_LONG_FILE: usize = 700;

#[test]
fn crates_import_only_what_they_may() {
    let manifests = files("", "Cargo.toml");
    assert!(manifests.len() > 6, "the workspace was not found");
    report(&manifests, |_, text| import_violations(text));
}

#[test]
fn cores_are_pure() {
    let sources = files("", ".rs");
    let cores: Vec<PathBuf> = sources.into_iter().filter(|path| is_core(path)).collect();
    report(&cores, |_, text| impurities(text));
}

#[test]
fn the_servers_net_reaches_its_core_only_through_run() {
    report(&files("crates/zooky-server/src/net", ".rs"), |_, text| names_of(text, &["crate::core"]));
}

#[test]
fn sources_say_what_they_are_for_and_are_not_too_long() {
    let sources: Vec<PathBuf> = files("crates", ".rs").into_iter().filter(|path| in_src(path)).collect();
    assert!(sources.len() > 10, "the sources were not found");
    report(&sources, |path, text| {
        let lines = text.lines().count();
        if lines > LONG_FILE {
            eprintln!("warning: {} has {lines} lines, more than {LONG_FILE}", path.display());
        }
        shape_violations(text)
    });
}

/// `crates/zooky-sim` builds the client and the locks a second time; what they depend on must be there as well.
#[test]
fn the_simulator_builds_what_the_crates_build() {
    let pairs =
        [("crates/zooky-client", "crates/zooky-sim/client"), ("crates/zooky", "crates/zooky-sim/locks")];
    for (ours, simulated) in pairs {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let read = |directory: &str| {
            let manifest = fs::read_to_string(root.join(directory).join("Cargo.toml")).unwrap();
            let all = dependencies(&manifest).into_iter().filter(|(_, kind)| kind == "dependencies");
            // One that was replaced is there by both names.
            all.map(|(name, _)| name).filter(|name| !name.contains("sim")).collect::<BTreeSet<_>>()
        };
        assert_eq!(
            read(ours),
            read(simulated),
            "give {simulated}/Cargo.toml the dependencies of {ours}/Cargo.toml"
        );
    }
}

/// The workspace's lints forbid unsafe code. Only PyO3's macros need some: that crate denies it for what is written by hand.
#[test]
fn no_crate_has_unsafe_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(workspace.contains("\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let python = fs::read_to_string(root.join("python/src/lib.rs")).unwrap();
    assert!(python.contains("\n#![deny(unsafe_code)]\n"));
    report(&files("", "Cargo.toml"), |_, text| {
        let package = package_name(text).unwrap_or_default();
        // libFuzzer's macro has some, too.
        let other = ["", "zooky-python", "zooky-fuzz"].contains(&package.as_str());
        match other || text.contains("\n[lints]\nworkspace = true\n") {
            true => Vec::new(),
            false => vec![format!("{package} does not have the workspace's lints")],
        }
    });
}

/// Whether they are caught is for `make mutants` to say; one that does not apply any more shows nothing.
#[test]
fn every_seeded_mutant_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let check = Command::new("tests/mutants/run").arg("--check").current_dir(root).output().unwrap();
    let said = [check.stdout, check.stderr].concat();
    assert!(
        check.status.success(),
        "make these break the same promise in the code as it is now:\n{}",
        String::from_utf8_lossy(&said)
    );
}

fn import_violations(manifest: &str) -> Vec<String> {
    let Some(package) = package_name(manifest) else { return Vec::new() };
    let Some((_, normal, dev)) = MAY_IMPORT.iter().find(|(name, ..)| *name == package) else {
        return vec![format!("{package} is not in the table of tests/house.rs")];
    };
    let mut violations = Vec::new();
    for (name, kind) in dependencies(manifest) {
        let is_ours = name == "zooky" || name.starts_with("zooky-");
        let for_tests =
            kind == "dev-dependencies" && (name == "zooky-testkit" || dev.contains(&name.as_str()));
        if is_ours && name != package && !for_tests && !normal.contains(&name.as_str()) {
            violations.push(format!("{package} must not have {name} among its {kind}"));
        }
    }
    violations
}

fn package_name(manifest: &str) -> Option<String> {
    let body = manifest.split("[package]").nth(1)?;
    let line =
        body.lines().take_while(|line| !line.starts_with('[')).find(|line| line.starts_with("name"))?;
    Some(line.split('"').nth(1)?.to_string())
}

/// The names in every table of dependencies, with the table's kind; a renamed one by its true name.
fn dependencies(manifest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut table: Vec<String> = Vec::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table =
                header.split('.').map(|part| part.trim_matches(['[', '"', '\'', ' ']).to_string()).collect();
            let [.., kind, name] = &table[..] else { continue };
            if kind.ends_with("dependencies") && table[0] != "workspace" {
                found.push((name.clone(), kind.clone()));
            }
            continue;
        }
        let Some(kind) = table.iter().find(|part| part.ends_with("dependencies")) else { continue };
        if table[0] == "workspace" {
            continue;
        }
        let key = line.split(['.', '=', ' ']).next().unwrap_or_default().trim_matches('"');
        if table.last() == Some(kind) && !key.is_empty() {
            found.push((key.to_string(), kind.clone()));
        }
        if let Some(renamed) = line.split("package").nth(1).and_then(|rest| rest.trim().strip_prefix('=')) {
            found.extend(renamed.split('"').nth(1).map(|name| (name.to_string(), kind.clone())));
        }
    }
    found
}

fn impurities(source: &str) -> Vec<String> {
    names_of(source, IMPURE)
}

/// Which of `forbidden` the source names outside comments, in `use` trees too.
fn names_of(source: &str, forbidden: &[&str]) -> Vec<String> {
    let code = without_comments(source);
    let mut text = code.clone();
    for statement in use_statements(&code) {
        text.push('\n');
        text += &expand(&statement).join("\n");
    }
    let found: BTreeSet<&str> = forbidden.iter().copied().filter(|name| names(&text, name)).collect();
    found.into_iter().map(|name| format!("names {name}")).collect()
}

/// Whether `name` stands in the text as whole words.
fn names(text: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(name).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + name.len()..].chars().next();
        let open = !name.starts_with(is_word) || !before.is_some_and(is_word);
        open && (!name.ends_with(is_word) || !after.is_some_and(is_word))
    })
}

/// Good enough for sources of ours: a `//` inside a string cuts that line short.
fn without_comments(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn use_statements(code: &str) -> Vec<String> {
    let mut statements = Vec::new();
    for (start, _) in code.match_indices("use ") {
        let lead = code[..start].rsplit('\n').next().unwrap_or_default().trim();
        if lead.is_empty() || lead.starts_with("pub") || lead.ends_with(['{', '}', ';']) {
            let rest = &code[start + 4..];
            let statement: String = rest.split(';').next().unwrap_or_default().split_whitespace().collect();
            statements.push(statement);
        }
    }
    statements
}

/// `a::{b, c::{d}}` as `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else { return vec![tree.to_string()] };
    let prefix = &tree[..open];
    let inner = tree[open + 1..].strip_suffix('}').unwrap_or(&tree[open + 1..]);
    let mut depth = 0;
    let branches = inner.split(|letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    branches.flat_map(expand).map(|path| format!("{prefix}{path}")).collect()
}

fn shape_violations(source: &str) -> Vec<String> {
    let mut violations = Vec::new();
    if !source.starts_with("//!") {
        violations.push("does not open with `//!`, saying what it is for".to_string());
    }
    let lines = source.lines().count();
    if lines > TOO_LONG_FILE {
        violations.push(format!("has {lines} lines, more than {TOO_LONG_FILE}: split it by its nouns"));
    }
    violations
}

fn is_core(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "core") || path.ends_with("src/core.rs")
}

fn in_src(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "src")
}

/// Fails with every violation in every file.
fn report(paths: &[PathBuf], check: impl Fn(&Path, &str) -> Vec<String>) {
    let mut violations = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        violations.extend(check(path, &text).into_iter().map(|what| format!("{}: {what}", path.display())));
    }
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// The files under a directory of the workspace whose names end so; not what was built or fetched.
fn files(under: &str, end: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(under);
    let mut found = Vec::new();
    let mut directories = vec![root];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                if !name.starts_with('.') && name != "target" {
                    directories.push(entry.path());
                }
            } else if name.ends_with(end) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_import_rule_catches_violations() {
    let manifest = |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\n{rest}");
    let refused = [
        manifest("zooky-wire", "[dependencies]\nzooky-client.workspace = true"),
        manifest("zooky-server", "[dev-dependencies]\nzooky-client = { path = \"../zooky-client\" }"),
        manifest("zooky-client", "[dependencies.zooky-server]\npath = \"..\""),
        manifest("zooky-client", "[dependencies]\nzooky-testkit.workspace = true"),
        manifest("zooky", "[target.'cfg(unix)'.dependencies]\nzooky-server = \"1\""),
        manifest("zooky-cli", "[dependencies]\nclient = { package = \"zooky-client\", version = \"1\" }"),
        manifest("zooky-cli", "[build-dependencies]\nzooky-wire = \"1\""),
        manifest("zooky-novelty", ""),
    ];
    for text in refused {
        assert_eq!(import_violations(&text).len(), 1, "{text}");
    }
    let allowed = [
        manifest(
            "zooky-client",
            "[dependencies]\nzooky-wire.workspace = true\n[dev-dependencies]\nzooky-server.workspace = true\nzooky-testkit.workspace = true",
        ),
        manifest("zooky-cli", "[dependencies]\nzooky.workspace = true\nzookeeper-client = \"1\""),
        "[workspace.dependencies]\nzooky-wire = { path = \"x\" }".to_string(),
    ];
    for text in allowed {
        assert_eq!(import_violations(&text), [""; 0], "{text}");
    }
}

#[test]
fn the_purity_rule_catches_violations() {
    let refused = [
        "use tokio::sync::mpsc;",
        "fn f() { std::fs::read(path); }",
        "use std::{collections::BTreeMap, fs::File};",
        "use std::time::{Duration, Instant};",
        "use std::{\n    net::{SocketAddr,\n        TcpStream},\n};",
        "pub(crate) use std::thread;",
        "let now = Clock::now();",
        "let x = rand::random();",
        "getrandom::fill(&mut bytes)",
    ];
    for text in refused {
        assert_eq!(impurities(text).len(), 1, "{text}: {:?}", impurities(text));
    }
    let allowed = "//! No tokio, no std::fs here.\nuse std::net::SocketAddr;\nuse std::time::Duration;\n\
                   fn step(now: Time) -> operand { now() } // rand\nstruct Random; let mission = 1;";
    assert_eq!(impurities(allowed), [""; 0]);
}

#[test]
fn the_net_rule_catches_violations() {
    for text in
        ["use crate::core::Tree;", "use crate::{run::Handle, core::{Tree, Node}};", "crate::core::step()"]
    {
        assert_eq!(names_of(text, &["crate::core"]), ["names crate::core"], "{text}");
    }
    assert_eq!(names_of("use core::fmt; use crate::core_limits;", &["crate::core"]), [""; 0]);
}

#[test]
fn the_shape_rule_catches_violations() {
    assert_eq!(shape_violations("use std::fmt;").len(), 1);
    assert_eq!(shape_violations(&format!("//! Long.\n{}", "\n".repeat(TOO_LONG_FILE))).len(), 1);
    assert_eq!(shape_violations("//! Good.\n"), [""; 0]);
    assert!(is_core(Path::new("crates/x/src/core/tree.rs")) && !is_core(Path::new("crates/x/src/score.rs")));
}
