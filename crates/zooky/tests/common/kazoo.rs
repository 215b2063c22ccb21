//! kazoo as the other client, steered line by line.

use std::time::Duration;

use zooky_testkit::{Script, Talk};

const PROGRAM: &str = r#"
import json, sys, threading
from kazoo.client import KazooClient
from kazoo.exceptions import LockTimeout

client = KazooClient(hosts=sys.argv[1], timeout=float(sys.argv[2]))
client.start(30)
print("started")
locks = {}
leading = {}

def lead(name):
    resign = threading.Event()
    def led():
        print("leads", name, flush=True)
        resign.wait()
    thread = threading.Thread(target=locks[name].run, args=(led,))
    leading[name] = resign, thread
    thread.start()

for line in sys.stdin:
    verb, name, *rest = line.split()
    if verb == "new":
        kind, path, *leases = rest
        locks[name] = getattr(client, kind)(path, "kazoo says " + name, *map(int, leases))
        print("done")
    elif verb == "acquire":
        try:
            print("acquired", locks[name].acquire(timeout=float(rest[0])))
        except LockTimeout:
            print("acquired", False)
        except ValueError as fault:
            print("acquired", fault)
    elif verb == "try":
        print("acquired", locks[name].acquire(blocking=False))
    elif verb == "release":
        print("released", locks[name].release())
    elif verb == "contenders":
        client.sync("/")
        print("contenders", json.dumps(locks[name].contenders()))
    elif verb == "lead":
        lead(name)
        print("done")
    elif verb == "resign":
        leading[name][0].set()
        leading[name][1].join()
        print("resigned")
    elif verb == "holders":
        client.sync("/")
        print("holders", json.dumps(sorted(locks[name].lease_holders())))
    elif verb == "held":
        print("held", locks[name].is_acquired)
"#;

/// How long kazoo may take for anything that works.
const LONG: Duration = Duration::from_secs(40);

/// A process with one kazoo client.
pub struct Kazoo {
    pub talk: Talk,
}

impl Kazoo {
    pub fn start(hosts: &str, session_timeout: Duration) -> Kazoo {
        let script = Script::new(PROGRAM).arg(hosts).arg(session_timeout.as_secs_f64().to_string());
        let mut talk = script.spawn();
        talk.expect_line("started", LONG);
        Kazoo { talk }
    }

    /// A lock object of the class `kind` under `name`.
    pub fn new_lock(&mut self, name: &str, kind: &str, path: &str) {
        self.ask(&format!("new {name} {kind} {path}"), "done");
    }

    /// Whether it got the lock within `timeout`.
    pub fn acquire(&mut self, name: &str, timeout: Duration) -> bool {
        self.ask(&format!("acquire {name} {}", timeout.as_secs_f64()), "acquired") == "True"
    }

    pub fn release(&mut self, name: &str) {
        assert_eq!(self.ask(&format!("release {name}"), "released"), "True");
    }

    /// The identifiers of those who hold and wait, as kazoo shows them.
    pub fn contenders(&mut self, name: &str) -> Vec<String> {
        serde_json::from_str(&self.ask(&format!("contenders {name}"), "contenders")).unwrap()
    }

    /// What kazoo believes.
    pub fn believes_it_holds(&mut self, name: &str) -> bool {
        self.ask(&format!("held {name}"), "held") == "True"
    }

    /// A semaphore object with so many leases under `name`.
    pub fn new_semaphore(&mut self, name: &str, path: &str, leases: u32) {
        self.ask(&format!("new {name} Semaphore {path} {leases}"), "done");
    }

    /// What a semaphore's acquire answers: `True`, `False`, or the text of a ValueError.
    pub fn acquire_answer(&mut self, name: &str, timeout: Duration) -> String {
        self.ask(&format!("acquire {name} {}", timeout.as_secs_f64()), "acquired")
    }

    /// The identifiers of a semaphore's lease holders, sorted.
    pub fn lease_holders(&mut self, name: &str) -> Vec<String> {
        serde_json::from_str(&self.ask(&format!("holders {name}"), "holders")).unwrap()
    }

    /// An election object stands; it says `leads` with its name when it leads.
    pub fn lead(&mut self, name: &str) {
        self.ask(&format!("lead {name}"), "done");
    }

    /// It leads no more.
    pub fn resign(&mut self, name: &str) {
        self.ask(&format!("resign {name}"), "resigned");
    }

    fn ask(&mut self, line: &str, prefix: &str) -> String {
        self.talk.send_line(line);
        self.talk.expect_line(prefix, LONG)
    }
}
