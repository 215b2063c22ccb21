//! docs/operations.md: its commands, run in their order, say what it says they say. With `ZOOKY_KEEP_OUTPUT=1` what they say is put into it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "../../zooky-ui/tests/common/mod.rs"]
mod page;

use common::{LONG, Running, Server, ZOOKY, run};
use page::{DESK, Window, row_of};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use zooky::{Client, Guard, Lock, Owner, SessionConfig};
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
    fn start() -> Shell {
        let server = Server::start();
        let bin = PathBuf::from(ZOOKY).parent().unwrap().display().to_string();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
        Shell { server, path, background: Vec::new() }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_clear().env("PATH", &self.path).env("USER", "ops");
        // A machine that is busy with other tests as well must not make a holder lose its lock.
        command.env("ZOOKY_SERVERS", self.server.hosts()).env("ZOOKY_SESSION_TIMEOUT", "40");
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
    let config = SessionConfig::new(shell.server.hosts().parse().unwrap());
    let client = Client::connect_with(config.timeout(Duration::from_secs(40))).await.unwrap();
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

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_for_operators_is_true() {
    let (file, mut shell) = (file(), Shell::start());
    let page = std::fs::read_to_string(&file).unwrap();
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

type Look = fn(&mut Window, &mut Situation);

/// The questions under "On the page", each with what is looked at for its answer.
const ON_THE_PAGE: [(&str, Look); 4] = [
    ("who holds it, on which host, with which program, since when", who_holds_it),
    ("is anything deadlocked", is_anything_deadlocked),
    ("free it", free_it),
    ("who held it before", who_held_it_before),
];

/// The same three jobs and two tasks, and the page as `zooky ui` serves it.
struct Situation {
    shell: Shell,
    token: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_in_the_browser_answers_what_it_is_said_to() {
    let mut shell = Shell::start();
    let mut ui = Running::start(&mut shell.command("exec zooky ui --listen 127.0.0.1:0"));
    let url = ui.line().trim_start_matches("page at ").to_string();
    let token = ui.line().trim_start_matches("token to free locks: ").to_string();
    let _billing = billing(&shell).await;
    tokio::task::block_in_place(|| {
        for job in ["--revocable nightly -- sleep 1000", "migrate -- sleep 2000", "nightly -- date"] {
            shell.run(&format!("zooky run {job} &"));
        }
        let page = std::fs::read_to_string(file()).unwrap();
        let (_, table) = page.split_once("## On the page").unwrap();
        let questions: Vec<&str> =
            table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).skip(1).collect();
        let mut known: Vec<&str> = ON_THE_PAGE.iter().map(|(question, _)| *question).collect();
        let mut asked = questions.clone();
        known.sort_unstable();
        asked.sort_unstable();
        assert_eq!(known, asked, "each question has its look, and each look its question");
        let mut situation = Situation { shell, token };
        let mut window = Window::open_url(&url, DESK);
        for (question, look) in ON_THE_PAGE {
            eprintln!("{question}");
            look(&mut window, &mut situation);
        }
    });
    ui.signal(Signal::TERM);
    assert_eq!(ui.code(), 0);
}

/// Chooses a lock by a click on its line.
fn choose(window: &mut Window, lock: &str) {
    let row = format!(
        "[...document.querySelectorAll('.row')].find((row) => !row.hidden && row.textContent.startsWith('{lock}'))"
    );
    window.until(&format!("{row} !== undefined"));
    window.eval(&format!("{row}.click()"));
    window.until(&format!("document.getElementById('detail-title').textContent === '{lock}'"));
}

fn who_holds_it(window: &mut Window, situation: &mut Situation) {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let holder = format!("sleep @{host} pid {}", situation.shell.background[0].child.id());
    window.until(&format!("{} === '{holder}'", row_of("/locks/nightly", "who")));
    window.until(&format!("/^[0-9]+ (ms|s)/.test({})", row_of("/locks/nightly", "age")));
    window.until(&format!("{} === '1 waiting'", row_of("/locks/nightly", "waiters")));
    choose(window, "/locks/nightly");
    window.until("document.querySelectorAll('#queue tbody tr').length === 2");
    let (first, second) =
        (window.text("#queue tbody tr:nth-child(1)"), window.text("#queue tbody tr:nth-child(2)"));
    for (row, words) in [
        (&first, &["holds for ", holder.as_str(), "user ops", "since "][..]),
        (&second, &["waits for ", "date @", "user ops", "since "]),
    ] {
        assert!(words.iter().all(|word| row.contains(word)), "{words:?} in {row}");
    }
}

fn is_anything_deadlocked(window: &mut Window, _: &mut Situation) {
    window.until("document.getElementById('count-cycles').textContent === '1'");
    window.eval("document.getElementById('graph').scrollIntoView()");
    window.until("document.querySelectorAll('#graph-svg .stuck rect').length === 2");
    let words = window.text("#cycles li");
    for part in ["invoices", "stock", "/locks/accounts", "/locks/warehouse"] {
        assert!(words.contains(part), "{words}");
    }
}

/// Presses a holder's button, answers the second question, and with the token the first time.
fn press(window: &mut Window, how: &str, token: Option<&str>) {
    window.act("click", json!(format!("#queue button[data-how={how}]")));
    window.until("document.getElementById('act').open");
    if let Some(token) = token {
        window.act("fill", json!(["#act-token", token]));
    }
    window.act("click", json!("#act-yes"));
}

fn free_it(window: &mut Window, situation: &mut Situation) {
    // Who was started with --revocable is asked, and its lock goes on to who waits.
    press(window, "ask", Some(&situation.token));
    for at in [0, 2] {
        situation.shell.background[at].wait();
    }
    window.until(&format!("{} === 'free'", row_of("/locks/nightly", "who")));
    // Who was not is deaf, and removed.
    choose(window, "/locks/migrate");
    press(window, "ask", None);
    window.until("document.getElementById('told').textContent.includes('cannot be asked')");
    press(window, "remove", None);
    window.until(&format!("{} === 'free'", row_of("/locks/migrate", "who")));
    assert_eq!(situation.shell.background[1].code(), 70);
}

fn who_held_it_before(window: &mut Window, _: &mut Situation) {
    choose(window, "/locks/nightly");
    // The youngest first.
    window.until("document.querySelectorAll('#history tbody tr').length === 2");
    let held: Vec<String> =
        (1..=2).map(|n| window.text(&format!("#history tbody tr:nth-child({n})"))).collect();
    assert!(held[0].contains("date @") && held[1].contains("sleep @"), "{held:?}");
    window.eval("document.getElementById('timeline').scrollIntoView()");
    window.until("document.getElementById('timeline-note').textContent.includes(' locks')");
}

#[test]
fn what_differs_is_told_from_what_may() {
    let page = "holds  exclusive  pid 3808 (ops@vm, sleep)  6 s";
    assert_eq!(alike(page), alike("holds exclusive pid 1 (root@db, sleep) 12 s"));
    assert_ne!(alike(page), alike("waits  exclusive  pid 3808 (ops@vm, sleep)  6 s"));
    assert_ne!(alike(page), alike("holds  exclusive  pid 3808 (ops@vm, date)  6 s"));
    assert_ne!(alike("1 waits 2"), alike("1 waits 1"));
}
