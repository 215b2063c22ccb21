//! The Dockerfile, as far as that goes without building it: what it copies exists, and what it starts serves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Running, zooky};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use zooky_testkit::{four_letter, free_port};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Its instructions: the word and what follows.
fn instructions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words = lines.map(|line| line.split_once(' ').unwrap());
    words.map(|(word, rest)| (word.to_string(), rest.to_string())).collect()
}

fn all<'a>(instructions: &'a [(String, String)], word: &'a str) -> impl Iterator<Item = &'a str> {
    instructions.iter().filter(move |(name, _)| name == word).map(|(_, rest)| rest.as_str())
}

#[test]
fn what_it_copies_is_there() {
    let instructions = instructions();
    let mut copied = Vec::new();
    for copy in all(&instructions, "COPY").filter(|copy| !copy.starts_with("--from")) {
        let words: Vec<&str> = copy.split(' ').collect();
        for source in &words[..words.len() - 1] {
            assert!(root().join(source).exists(), "{source}");
            copied.push(source.to_string());
        }
    }
    // Cargo wants to see every member of the workspace.
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        assert!(copied.iter().any(|source| member.starts_with(source)), "{member} is not copied");
    }
    let version = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    let builder = all(&instructions, "FROM").next().unwrap();
    assert!(builder.starts_with(&format!("rust:{version}-")), "{builder}");
}

#[test]
fn what_it_starts_serves() {
    let instructions = instructions();
    let entry: Vec<String> = serde_json::from_str(all(&instructions, "ENTRYPOINT").next().unwrap()).unwrap();
    assert_eq!(entry[0], "zooky");
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let mut command = zooky(&entry[1..]);
    let mut data = String::new();
    for (name, value) in
        all(&instructions, "ENV").flat_map(|env| env.split(' ')).map(|e| e.split_once('=').unwrap())
    {
        match name {
            "ZOOKY_DATA_DIR" => {
                data = value.to_string();
                command.env(name, dir.path().join("data"))
            }
            "ZOOKY_LISTEN" => {
                let exposed = all(&instructions, "EXPOSE").next().unwrap();
                assert_eq!(value, format!("0.0.0.0:{exposed}"));
                command.env(name, format!("0.0.0.0:{port}"))
            }
            _ => command.env(name, value),
        };
    }
    let volume = all(&instructions, "VOLUME").next().unwrap();
    assert!(data.starts_with(&format!("{volume}/")), "the data is in the volume: {data}");
    let mut server = Running::start(&mut command);
    assert!(server.error_line().contains(&format!("serving at 0.0.0.0:{port}")));
    assert_eq!(four_letter(([127, 0, 0, 1], port).into(), "ruok").unwrap(), "imok");
    let health = all(&instructions, "HEALTHCHECK").next().unwrap().split("CMD ").nth(1).unwrap();
    let health = health.replace("2181", &port.to_string());
    let health: Vec<String> = serde_json::from_str(&health).unwrap();
    assert_eq!(common::run(&mut zooky(&health[1..])).0, 0);
    let stop = all(&instructions, "STOPSIGNAL").next().unwrap();
    assert_eq!(stop, "SIGTERM");
    server.signal(Signal::TERM);
    assert_eq!(server.code(), 0);
}
