//! kazoo as the other client, steered line by line.

use std::time::Duration;

use zooky_testkit::{Script, Talk};

const PROGRAM: &str = r#"
import json, sys
from kazoo.client import KazooClient
from kazoo.exceptions import LockTimeout

client = KazooClient(hosts=sys.argv[1], timeout=float(sys.argv[2]))
client.start(30)
print("started")
locks = {}
for line in sys.stdin:
    verb, name, *rest = line.split()
    if verb == "new":
        kind, path = rest
        locks[name] = getattr(client, kind)(path, "kazoo says " + name)
        print("done")
    elif verb == "acquire":
        try:
            print("acquired", locks[name].acquire(timeout=float(rest[0])))
        except LockTimeout:
            print("acquired", False)
    elif verb == "try":
        print("acquired", locks[name].acquire(blocking=False))
    elif verb == "release":
        print("released", locks[name].release())
    elif verb == "contenders":
        print("contenders", json.dumps(locks[name].contenders()))
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

    fn ask(&mut self, line: &str, prefix: &str) -> String {
        self.talk.send_line(line);
        self.talk.expect_line(prefix, LONG)
    }
}
