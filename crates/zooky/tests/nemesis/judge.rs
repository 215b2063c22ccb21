//! What is said of what happened after a healing: which grant came too late, and whose nodes have stayed behind. The servers
//! and the clock are the caller's, so that each verdict is shown to come without them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use zooky_testkit::{MachineClock, within};

use super::{SESSION_TIMEOUT, SLACK, TICK};

/// The next grant of each lock, from the election on.
const GRANTED: Duration = SESSION_TIMEOUT.saturating_add(TICK).saturating_add(TICK).saturating_add(SLACK);
/// The same where a member has lost transactions: who waits there for what is gone asks the leader after two timeouts, and goes
/// elsewhere. Twice, as that member may not be alone.
const GRANTED_BESIDE_LOSSES: Duration = GRANTED.saturating_add(SESSION_TIMEOUT.saturating_mul(4));
/// By then a session of which nobody speaks any more has been counted out, and its nodes are gone.
const COUNTED_OUT: Duration = SESSION_TIMEOUT.saturating_add(TICK).saturating_add(SLACK);

/// A clock that was started when the limits began to run.
pub(crate) trait Since {
    /// Asks `probe` until it answers, up to `limit` after the start; none in vain.
    fn up_to<T>(&mut self, limit: Duration, probe: impl FnMut() -> Option<T>) -> Option<T>;
}

impl Since for MachineClock {
    fn up_to<T>(&mut self, limit: Duration, probe: impl FnMut() -> Option<T>) -> Option<T> {
        within(self.left_of(limit), probe)
    }
}

/// Waits for a grant of one kind of lock. By member, `lost` is what it shows otherwise than the leader, and is asked for only when
/// the grant is late: what to tell of it then.
///
/// # Errors
/// What to say of a lock that is not granted in time.
pub(crate) fn next_grant<L: Debug>(
    kind: impl Debug,
    clock: &mut impl Since,
    mut granted: impl FnMut() -> bool,
    lost: impl FnOnce() -> BTreeMap<usize, L>,
) -> Result<Option<String>, String> {
    let mut granted = || granted().then_some(());
    if clock.up_to(GRANTED, &mut granted).is_some() {
        return Ok(None);
    }
    let lost = lost();
    if lost.is_empty() {
        return Err(format!("no grant of {kind:?} within {GRANTED:?} after the election"));
    }
    let told =
        format!("{kind:?}: members show otherwise than the leader, having lost transactions: {lost:x?}");
    match clock.up_to(GRANTED_BESIDE_LOSSES, &mut granted) {
        Some(()) => Ok(Some(told)),
        None => Err(format!(
            "no grant of {kind:?} within {GRANTED_BESIDE_LOSSES:?} after the election, where {told}"
        )),
    }
}

/// What the leader and another member, or the same one, have answered.
pub(crate) struct Answers {
    pub(crate) leader: usize,
    pub(crate) of_leader: Dump,
    pub(crate) of_member: Dump,
}

/// Waits until a member shows ephemeral nodes only of sessions that the leader has, and no more such sessions than there are
/// clients; a session that is being counted out has its time. What to tell of a member that does not: it has lost transactions, or
/// serves no more (`answers` are none then).
///
/// # Errors
/// What to say if the leader shows it as well.
pub(crate) fn every_node_has_its_session(
    member: usize,
    clients: usize,
    clock: &mut impl Since,
    mut answers: impl FnMut() -> Option<Answers>,
) -> Result<Option<String>, String> {
    let mut seen = None;
    let fits = clock.up_to(COUNTED_OUT, || {
        let answers = answers()?;
        let orphans = answers.of_member.orphans(&answers.of_leader.sessions);
        let fits = orphans.is_empty() && answers.of_member.owners() <= clients;
        seen = Some((answers, orphans));
        fits.then_some(())
    });
    if fits.is_some() {
        return Ok(None);
    }
    let Some((Answers { leader, of_leader, of_member }, orphans)) = seen else {
        return Ok(Some(format!("member {member} serves no more")));
    };
    let common = |path: &&String| of_leader.ephemerals.contains_key(*path);
    let on_the_leader: Vec<&String> = orphans.keys().filter(common).collect();
    if !on_the_leader.is_empty() {
        return Err(format!("the leader, {leader}, shows nodes whose sessions are gone: {on_the_leader:?}"));
    }
    let owners = of_leader.owners();
    if owners > clients {
        let all = &of_leader.ephemerals;
        return Err(format!("{clients} clients have {owners} sessions with nodes: {all:?}"));
    }
    Ok(Some(format!(
        "member {member} has lost transactions: it shows nodes of {} sessions, and of sessions that are gone, as the leader, \
         {leader}, does not, {orphans:?}",
        of_member.owners()
    )))
}

/// Which sessions there are, and whose each ephemeral node is, as one member has it.
pub(crate) struct Dump {
    sessions: BTreeSet<String>,
    ephemerals: BTreeMap<String, String>,
}

impl Dump {
    /// From the answer to `dump`; none while the member serves nobody.
    pub(crate) fn read(answer: &str) -> Option<Dump> {
        let (tracker, rest) = answer.split_once("ephemeral nodes dump:")?;
        let (nodes, _) = rest.split_once("Connections dump:")?;
        let sessions = tracker.split_whitespace().filter(|word| word.starts_with("0x"));
        let mut dump = Dump { sessions: sessions.map(str::to_owned).collect(), ephemerals: BTreeMap::new() };
        let mut owner = "";
        for line in nodes.lines() {
            match line.strip_prefix('\t') {
                Some(path) => drop(dump.ephemerals.insert(path.to_owned(), owner.to_owned())),
                None => owner = line.trim_end_matches(':'),
            }
        }
        Some(dump)
    }

    /// Whether there are no ephemeral nodes.
    pub(crate) fn is_empty(&self) -> bool {
        self.ephemerals.is_empty()
    }

    /// The ephemeral nodes, with their owners, of sessions that are not among these.
    fn orphans(&self, alive: &BTreeSet<String>) -> BTreeMap<String, String> {
        let orphans = self.ephemerals.iter().filter(|(_, owner)| !alive.contains(*owner));
        orphans.map(|(path, owner)| (path.clone(), owner.clone())).collect()
    }

    /// How many sessions have ephemeral nodes.
    fn owners(&self) -> usize {
        self.ephemerals.values().collect::<BTreeSet<_>>().len()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How much passes between two looks.
    const STEP: Duration = Duration::from_millis(100);

    /// A clock that goes on when somebody looks in vain.
    #[derive(Default)]
    struct Told(Cell<Duration>);

    impl Since for &Told {
        fn up_to<T>(&mut self, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
            loop {
                let found = probe();
                if found.is_some() || self.0.get() >= limit {
                    return found;
                }
                self.0.set((self.0.get() + STEP).min(limit));
            }
        }
    }

    /// What is said of a lock that is granted `after` so long, beside members that have lost something, or have not.
    fn granted(after: Duration, lost: &[usize]) -> Result<Option<String>, String> {
        let clock = Told::default();
        let lost = || lost.iter().map(|&member| (member, "/a/node")).collect();
        next_grant("Exclusive", &mut &clock, || clock.0.get() >= after, lost)
    }

    #[test]
    fn a_grant_that_comes_too_late_is_a_fault() {
        assert_eq!(granted(GRANTED, &[]), Ok(None));
        let fault = granted(GRANTED + STEP, &[]).unwrap_err();
        assert_eq!(fault, "no grant of \"Exclusive\" within 6s after the election");
        // Who has to find out that its member has lost something has longer, and not for ever.
        assert_eq!(granted(GRANTED, &[2]), Ok(None));
        for after in [GRANTED + STEP, GRANTED_BESIDE_LOSSES] {
            let told = granted(after, &[2]).unwrap().unwrap();
            assert!(told.contains("having lost transactions: {2: \"/a/node\"}"), "{told}");
        }
        let fault = granted(GRANTED_BESIDE_LOSSES + STEP, &[2]).unwrap_err();
        assert!(fault.starts_with("no grant of \"Exclusive\" within 18s"), "{fault}");
    }

    /// What a member answers that has these sessions, and these nodes of theirs.
    fn dump(sessions: &[&str], nodes: &[(&str, &str)]) -> Dump {
        let nodes = nodes.iter().map(|(path, owner)| ((*path).to_owned(), (*owner).to_owned()));
        let sessions = sessions.iter().map(|session| (*session).to_owned());
        Dump { sessions: sessions.collect(), ephemerals: nodes.collect() }
    }

    /// What is said of member 1 of two clients' servers, where 0 leads, by what both answer after so long.
    fn shown(mut answers: impl FnMut(Duration) -> Option<(Dump, Dump)>) -> Result<Option<String>, String> {
        let clock = Told::default();
        every_node_has_its_session(1, 2, &mut &clock, || {
            let (of_leader, of_member) = answers(clock.0.get())?;
            Some(Answers { leader: 0, of_leader, of_member })
        })
    }

    const TWO: [(&str, &str); 3] = [("/a/one", "0x1"), ("/a/two", "0x2"), ("/b/one", "0x1")];

    #[test]
    fn a_node_whose_session_is_gone_is_a_fault_of_the_leader_s() {
        let gone = || (dump(&["0x2"], &TWO), dump(&["0x2"], &TWO));
        let well = || (dump(&["0x2"], &TWO[1..2]), dump(&["0x2"], &TWO[1..2]));
        assert_eq!(shown(|_| Some(well())), Ok(None));
        // It has its time to be counted out, and no more.
        assert_eq!(shown(|now| Some(if now < COUNTED_OUT { gone() } else { well() })), Ok(None));
        let fault = shown(|now| Some(if now <= COUNTED_OUT { gone() } else { well() })).unwrap_err();
        assert_eq!(fault, "the leader, 0, shows nodes whose sessions are gone: [\"/a/one\", \"/b/one\"]");
        // The member alone has it: told of, and not laid to us.
        let told = shown(|_| Some((dump(&["0x2"], &TWO[1..2]), dump(&["0x2"], &TWO)))).unwrap().unwrap();
        assert!(
            told.starts_with("member 1 has lost transactions") && told.contains("\"/b/one\": \"0x1\""),
            "{told}"
        );
        assert_eq!(shown(|_| None), Ok(Some("member 1 serves no more".to_owned())));
        // It says nothing at last; what it said before counts.
        shown(|now| (now < COUNTED_OUT).then(gone)).unwrap_err();
    }

    #[test]
    fn more_sessions_with_nodes_than_clients_are_a_fault() {
        let all = ["0x1", "0x2", "0x3"];
        let three = || dump(&all, &[TWO[0], TWO[1], ("/c/three", "0x3")]);
        let two = || dump(&all, &TWO);
        assert_eq!(shown(|_| Some((two(), two()))), Ok(None), "the third session has no nodes");
        assert_eq!(
            shown(|now| Some(if now < COUNTED_OUT { (three(), three()) } else { (two(), two()) })),
            Ok(None)
        );
        let fault = shown(|_| Some((three(), three()))).unwrap_err();
        assert!(
            fault.starts_with("2 clients have 3 sessions with nodes") && fault.contains("/c/three"),
            "{fault}"
        );
        let told = shown(|_| Some((two(), three()))).unwrap().unwrap();
        assert!(told.contains("it shows nodes of 3 sessions"), "{told}");
    }

    #[test]
    fn a_dump_tells_whose_session_is_gone() {
        let answer = "SessionTracker dump:\nSession Sets (2)/(2):\n1 expire at Fri Nov 27 06:00:00 UTC 2026:\n\t0x1000\n\
            1 expire at Fri Nov 27 06:00:01 UTC 2026:\n\t0x2000\nephemeral nodes dump:\nSessions with Ephemerals (2):\n\
            0x1000:\n\t/a/one\n\t/a/two\n0x3000:\n\t/a/three\nConnections dump:\nConnections Sets (1)/(1):\n";
        let dump = Dump::read(answer).unwrap();
        assert_eq!(dump.sessions, BTreeSet::from(["0x1000".to_owned(), "0x2000".to_owned()]));
        assert_eq!((dump.ephemerals.len(), dump.owners()), (3, 2));
        let orphans = BTreeMap::from([("/a/three".to_owned(), "0x3000".to_owned())]);
        assert_eq!(dump.orphans(&dump.sessions), orphans);
        assert!(Dump::read("This ZooKeeper instance is not currently serving requests\n").is_none());
    }
}
