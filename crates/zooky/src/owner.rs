//! Who contends: the metadata in a contender's node, as one line of JSON.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use zooky_client::unix_ms;

/// Who a contender is, for the people who ask who holds the lock.
///
/// It is written as the data of the contender's node, where kazoo's `Lock.contenders()` shows it as
/// it is: `{"host":"db1","pid":4711,"user":"backup","program":"pg_dump","since_ms":1767225600000}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Owner {
    /// The machine's host name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The user's name, or the number if there is no name.
    pub user: String,
    /// What runs: the program's file name unless the application says something better.
    pub program: String,
    /// When it began to contend, in milliseconds since 1970 on its own clock.
    pub since_ms: i64,
    /// An identity of the application's choosing; see [`Owner::with_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Which run of the process, where there is an `id`: host names and process numbers come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Whether it lets itself be refused in a deadlock.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refusable: bool,
    /// Whether it listens to nobody who asks for the lock; see [`Owner::deaf`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub deaf: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Owner {
    /// This process.
    pub fn this_process() -> Owner {
        static PROCESS: OnceLock<Owner> = OnceLock::new();
        let process = PROCESS.get_or_init(|| Owner {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: 0,
            user: user(),
            program: program(),
            since_ms: 0,
            id: None,
            run: None,
            refusable: false,
            deaf: false,
        });
        // The pid may be another one after a fork.
        Owner { pid: std::process::id(), since_ms: unix_ms(), ..process.clone() }
    }

    /// With an identity of the application's choosing, for the task that uses the lock.
    ///
    /// All contenders of one process with the same id count as one owner, who does one thing after the other: while
    /// it waits for one lock, it does not release another. By this, deadlocks are
    /// [found](crate::inspect::wait_graph). Without an id every contender is an owner of its own, because nothing
    /// else can be known for certain: neither tasks of one process nor locks of one session need depend on each
    /// other. So give each task an id of its own, and none to tasks that hold one lock while a part of them
    /// waits for another (in a `join!`, say).
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Owner {
        static RUN: OnceLock<String> = OnceLock::new();
        let run = RUN.get_or_init(|| format!("{:016x}", getrandom::u64().unwrap_or(0)));
        Owner { id: Some(id.into()), run: Some(run.clone()), ..self }
    }

    pub(crate) fn refusable(self, refusable: bool) -> Owner {
        Owner { refusable, ..self }
    }

    /// One that nobody need ask to let go of the lock, because nothing of it looks whether somebody does
    /// ([`Guard::revoked`](crate::Guard::revoked)): [`Revoke::ask`](crate::Revoke::ask) then tells it as deaf. Without this
    /// whoever asks has to take it that the program looks.
    #[must_use]
    pub fn deaf(self, deaf: bool) -> Owner {
        Owner { deaf, ..self }
    }

    /// With another name for what runs.
    #[must_use]
    pub fn with_program(self, program: impl Into<String>) -> Owner {
        Owner { program: program.into(), ..self }
    }

    /// The same owner, contending since now.
    pub(crate) fn since_now(&self) -> Owner {
        Owner { since_ms: unix_ms(), ..self.clone() }
    }

    pub(crate) fn to_line(&self) -> Vec<u8> {
        // Serializing strings and numbers cannot fail; an empty line is what a stranger would leave.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a node's data; `None` if it is not ours (kazoo's identifier, zktools' `0` …).
    pub fn from_line(data: &[u8]) -> Option<Owner> {
        serde_json::from_slice(data).ok()
    }
}

fn user() -> String {
    let named = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    // Containers and services often have neither.
    named("USER").or_else(|| named("LOGNAME")).unwrap_or_else(|| {
        let number = rustix::process::getuid().as_raw().to_string();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        name_of(&number, &passwd).unwrap_or(number)
    })
}

/// Whose number it is by the lines of `/etc/passwd`.
fn name_of(number: &str, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, found) = (fields.next()?, fields.next()?, fields.next()?);
        (found == number && !name.is_empty()).then(|| name.to_owned())
    })
}

fn program() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(|path| path.file_name());
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_name_that_the_system_knows() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n+::::::\nops:x:1000:1000::/home/ops:/bin/sh\n";
        assert_eq!(name_of("1000", passwd).as_deref(), Some("ops"));
        assert_eq!(name_of("0", passwd).as_deref(), Some("root"));
        assert_eq!((name_of("100", passwd), name_of("0", "")), (None, None));
    }

    #[test]
    fn one_line_there_and_back() {
        let owner = Owner::this_process().with_id("job \"7\"\n").with_program("backup");
        let line = owner.to_line();
        assert!(!line.contains(&b'\n'));
        assert_eq!(Owner::from_line(&line), Some(owner));
    }

    #[test]
    fn strangers_data_is_no_owner() {
        for data in [&b""[..], b"0", b"unlock", b"10.0.0.1", b"\xff\xfe", b"{\"host\":1}"] {
            assert_eq!(Owner::from_line(data), None);
        }
    }
}
