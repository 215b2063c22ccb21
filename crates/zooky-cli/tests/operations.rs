//! docs/operations.md: its commands, run in their order, say what it says they say. With `ZOOKY_KEEP_OUTPUT=1` what they say is put into it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, Server, ZOOKY, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use zooky::{Client, Guard, Lock, Owner};
use zooky_testkit::eventually;

/// What stands in the page: text that stays as it is, or a command and what it says.
enum Part {
    Text(String),
    Command { line: String, said: String },
}

/// The page, cut at its commands. Output goes on to the next command or to the block's end.
fn parts(page: &str) -> Vec<Part> {
    let mut parts = vec![Part::Text(String::new())];
    for line in page.split_inclusive('\n') {
        match (line.strip_prefix("$ "), parts.last_mut().unwrap()) {
            (Some(command), _) => {
                parts.push(Part::Command { line: command.trim_end().to_string(), said: String::new() });
            }
            (None, Part::Command { said, .. }) if !line.starts_with("```") => said.push_str(line),
            (None, Part::Text(text)) => text.push_str(line),
            (None, Part::Command { .. }) => parts.push(Part::Text(line.to_string())),
        }
    }
    parts
}

/// The words, with those made equal that differ from run to run: numbers of processes, ages, machines, names of nodes.
fn alike(said: &str) -> Vec<String> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let is_unit = |word: &str| matches!(word.trim_matches([')', ',', ';']), "s" | "min" | "ms");
    let alike = |(at, word): (usize, &&str)| {
        let bare = word.trim_matches(['(', ')', ',', ';', ':']);
        let before = at.checked_sub(1).map(|at| words[at].trim_start_matches('('));
        let is_age = bare.parse::<f64>().is_ok() && words.get(at + 1).is_some_and(|next| is_unit(next));
        if before == Some("pid") || is_age {
            return "N".to_string();
        }
        match bare {
            // The user and the machine.
            _ if bare.contains('@') => "OWNER".to_string(),
            _ if bare.contains("__lock__") => "NODE".to_string(),
            _ if bare.starts_with("20") && bare.ends_with('Z') => "TIME".to_string(),
            _ => (*word).to_string(),
        }
    };
    words.iter().enumerate().map(alike).collect()
}

struct Shell {
    server: Server,
    path: String,
    background: Vec<Running>,
}

impl Shell {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_clear().env("PATH", &self.path).env("USER", "ops");
        command.env("ZOOKY_SERVERS", self.server.hosts());
        command
    }

    /// What the command says, both outputs in the order results, messages; one in the background has joined its lock's queue when this
    /// returns.
    fn run(&mut self, line: &str) -> String {
        let Some(line) = line.strip_suffix(" &") else {
            let (_, out, errors) = run(&mut self.command(line));
            return out + &errors;
        };
        let before = self.contenders();
        let command = &mut self.command(&format!("exec {line}"));
        self.background.push(Running::start(command));
        eventually(LONG, "it to hold or to wait", || (self.contenders() > before).then_some(()));
        String::new()
    }

    fn contenders(&self) -> u64 {
        let (_, json, _) = run(&mut self.command("zooky list --json"));
        let locks: Vec<Value> = serde_json::from_str(&json).unwrap();
        let count = |lock: &Value| {
            lock["holders"].as_array().unwrap().len() as u64 + lock["waiters"].as_u64().unwrap()
        };
        locks.iter().map(count).sum()
    }
}

/// Two tasks of one program, each of which holds what the other wants. Dropping what is returned ends both.
async fn billing(shell: &Shell) -> (Client, Vec<Guard>, tokio::task::JoinSet<()>) {
    let client = Client::connect(&shell.server.hosts()).await.unwrap();
    let lock = |name: &str, task: &str| {
        let owner = Owner::this_process().with_program("billing").with_id(task);
        Lock::new(&client, &format!("/locks/{name}")).unwrap().with_owner(owner)
    };
    let mut held = Vec::new();
    for lock in [lock("accounts", "invoices"), lock("warehouse", "stock")] {
        held.push(lock.acquire().await.unwrap());
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (wanted, present) in [(lock("warehouse", "invoices"), 3), (lock("accounts", "stock"), 4)] {
        tasks.spawn(async move { drop(wanted.acquire().await) });
        // One after the other: the answer begins with who came first.
        tokio::task::block_in_place(|| {
            eventually(LONG, "the task to wait", || (shell.contenders() == present).then_some(()));
        });
    }
    (client, held, tasks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_for_operators_is_true() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let server = Server::start();
    let bin = PathBuf::from(ZOOKY).parent().unwrap().display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let mut shell = Shell { server, path, background: Vec::new() };
    let _billing = billing(&shell).await;
    let (mut true_page, mut commands) = (String::new(), 0);
    for part in parts(&page) {
        match part {
            Part::Text(text) => true_page.push_str(&text),
            Part::Command { line, said } => {
                let says = tokio::task::block_in_place(|| shell.run(&line));
                true_page.push_str(&format!("$ {line}\n{says}"));
                commands += 1;
                if std::env::var_os("ZOOKY_KEEP_OUTPUT").is_none() {
                    assert_eq!(alike(&says), alike(&said), "$ {line}\n{says}");
                }
            }
        }
    }
    assert!(commands > 10, "the page has lost its commands");
    if std::env::var_os("ZOOKY_KEEP_OUTPUT").is_some() {
        std::fs::write(&file, true_page).unwrap();
    }
}

#[test]
fn what_differs_is_told_from_what_may() {
    let page = "holds  exclusive  pid 3808 (ops@vm, sleep)  6 s";
    assert_eq!(alike(page), alike("holds exclusive pid 1 (root@db, sleep) 12 s"));
    assert_ne!(alike(page), alike("waits  exclusive  pid 3808 (ops@vm, sleep)  6 s"));
    assert_ne!(alike(page), alike("holds  exclusive  pid 3808 (ops@vm, date)  6 s"));
    assert_ne!(alike("1 waits 2"), alike("1 waits 1"));
}
