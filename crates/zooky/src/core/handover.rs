//! Who of a process's own tasks has a lock that they share one contender for, and who is next.
//!
//! A *term* is the time for which one contender's node is held. In it the lock goes from one task to the next,
//! first come first served, until the bound is reached; readers have it together. Each gets a count of its own,
//! larger than all before, for its fencing token. When a term takes nobody any more, the task in front has to
//! get the lock from the server again, behind the other processes.
//!
//! Only counted here; the caller brings the time and says whether the lock is good enough to be handed on.

use std::collections::BTreeMap;

use super::dialect::Mode;

/// How long a term takes new holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) grants: u64,
    pub(crate) time_ns: u64,
}

/// One task's place in a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) term: u64,
    /// How many had the lock in this term before.
    pub(crate) count: u64,
}

/// What is left when a task has let go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Others still hold the lock in this term, or the term is none that is known.
    Held,
    /// The lock was handed to the task with this ticket.
    HandedOn(u64, Admitted),
    /// Nobody holds it any more: the node is to be removed.
    Nobody,
}

/// The turns of all tasks that share a contender. `W` is what is known of a waiting task.
#[derive(Debug)]
pub(crate) struct Turns<W> {
    mode: Mode,
    bound: Bound,
    /// By ticket; the first came first.
    waiting: BTreeMap<u64, W>,
    tickets: u64,
    /// Those that have holders; only the newest may take more.
    terms: BTreeMap<u64, Term>,
    open: Option<u64>,
    term_ids: u64,
}

#[derive(Debug)]
struct Term {
    since_ns: u64,
    grants: u64,
    holders: u64,
}

impl<W> Turns<W> {
    pub(crate) fn new(mode: Mode, bound: Bound) -> Self {
        let (waiting, terms) = (BTreeMap::new(), BTreeMap::new());
        Turns { mode, bound, waiting, tickets: 0, terms, open: None, term_ids: 0 }
    }

    /// A task wants the lock: its ticket.
    pub(crate) fn join(&mut self, task: W) -> u64 {
        self.tickets += 1;
        self.waiting.insert(self.tickets, task);
        self.tickets
    }

    /// A task comes back whose grant was worth nothing: it keeps its place.
    pub(crate) fn rejoin(&mut self, ticket: u64, task: W) {
        self.waiting.insert(ticket, task);
    }

    /// A task does not wait any more.
    pub(crate) fn give_up(&mut self, ticket: u64) -> Option<W> {
        self.waiting.remove(&ticket)
    }

    pub(crate) fn waiter(&mut self, ticket: u64) -> Option<&mut W> {
        self.waiting.get_mut(&ticket)
    }

    pub(crate) fn waiters(&self) -> impl Iterator<Item = &W> {
        self.waiting.values()
    }

    /// The task that must get the lock from the server: the one in front, if no term takes it.
    pub(crate) fn driver(&self) -> Option<u64> {
        let (ticket, _) = self.waiting.first_key_value()?;
        self.open.is_none().then_some(*ticket)
    }

    /// The term that may take new holders.
    pub(crate) fn open_term(&self) -> Option<u64> {
        self.open
    }

    /// How many have the lock in this term.
    pub(crate) fn holders(&self, term: u64) -> u64 {
        self.terms.get(&term).map_or(0, |term| term.holders)
    }

    /// How many have had the lock in this term.
    pub(crate) fn grants(&self, term: u64) -> u64 {
        self.terms.get(&term).map_or(0, |term| term.grants)
    }

    /// The server has granted the lock: a new term. The caller admits somebody at once.
    pub(crate) fn begin(&mut self, now_ns: u64) -> u64 {
        self.term_ids += 1;
        self.terms.insert(self.term_ids, Term { since_ns: now_ns, grants: 0, holders: 0 });
        self.open = Some(self.term_ids);
        self.term_ids
    }

    /// The term takes nobody any more.
    pub(crate) fn close(&mut self, term: u64) {
        if self.open == Some(term) {
            self.open = None;
        }
    }

    /// One more holder in the open term, if it takes one now.
    pub(crate) fn admit(&mut self, now_ns: u64) -> Option<Admitted> {
        let id = self.open?;
        let term = self.terms.get_mut(&id)?;
        if self.mode == Mode::Exclusive && term.holders > 0 {
            return None;
        }
        let over =
            term.grants >= self.bound.grants || now_ns.saturating_sub(term.since_ns) >= self.bound.time_ns;
        // The first always: it is what the server granted.
        if over && term.grants > 0 {
            self.open = None;
            return None;
        }
        let admitted = Admitted { term: id, count: term.grants };
        term.grants += 1;
        term.holders += 1;
        Some(admitted)
    }

    /// The task in front, admitted to the open term.
    pub(crate) fn admit_next(&mut self, now_ns: u64) -> Option<(u64, W, Admitted)> {
        if self.waiting.is_empty() {
            return None;
        }
        let admitted = self.admit(now_ns)?;
        let (ticket, task) = self.waiting.pop_first()?;
        Some((ticket, task, admitted))
    }

    /// The node of this term is its holder's alone from now on.
    pub(crate) fn forget(&mut self, term: u64) {
        self.close(term);
        self.terms.remove(&term);
    }

    /// A holder lets go. The lock goes to the next in line, unless it is `worn`: lost, in doubt, or asked for.
    pub(crate) fn leave(&mut self, term: u64, now_ns: u64, worn: bool) -> (Left, Option<W>) {
        let Some(known) = self.terms.get_mut(&term) else { return (Left::Held, None) };
        known.holders -= 1;
        let holders = known.holders;
        if worn {
            self.close(term);
        }
        if self.open == Some(term)
            && let Some((ticket, task, admitted)) = self.admit_next(now_ns)
        {
            return (Left::HandedOn(ticket, admitted), Some(task));
        }
        if holders > 0 {
            return (Left::Held, None);
        }
        self.close(term);
        self.terms.remove(&term);
        (Left::Nobody, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { grants: 3, time_ns: 100 };

    fn turns(mode: Mode) -> Turns<char> {
        Turns::new(mode, BOUND)
    }

    #[test]
    fn tasks_take_turns_in_order_up_to_the_bound() {
        let mut turns = turns(Mode::Exclusive);
        let tickets = ['a', 'b', 'c', 'd'].map(|task| turns.join(task));
        assert_eq!(turns.driver(), Some(tickets[0]));
        let term = turns.begin(0);
        let mut had = vec![turns.admit_next(1).unwrap().1];
        assert_eq!((turns.admit_next(1), turns.driver()), (None, None), "one at a time");
        for count in 1..3 {
            let (left, task) = turns.leave(term, 2, false);
            had.extend(task);
            assert_eq!(left, Left::HandedOn(tickets[count as usize], Admitted { term, count }));
        }
        assert_eq!(turns.leave(term, 3, false), (Left::Nobody, None), "the fourth goes behind the others");
        assert_eq!(turns.driver(), Some(tickets[3]));
        assert_eq!(had, ['a', 'b', 'c']);
    }

    #[test]
    fn a_term_ends_with_its_time() {
        let mut turns = turns(Mode::Exclusive);
        turns.join('a');
        let term = turns.begin(1_000);
        turns.admit_next(5_000).expect("the first always");
        turns.join('b');
        assert_eq!(turns.leave(term, 1_100, false), (Left::Nobody, None));
    }

    #[test]
    fn a_worn_lock_is_not_handed_on() {
        let mut turns = turns(Mode::Exclusive);
        turns.join('a');
        let term = turns.begin(0);
        turns.admit_next(0).unwrap();
        let b = turns.join('b');
        assert_eq!(turns.leave(term, 0, true), (Left::Nobody, None));
        assert_eq!(turns.driver(), Some(b));
        assert_eq!(turns.leave(term, 0, false), (Left::Held, None), "it has left already");
    }

    #[test]
    fn a_lost_term_frees_its_waiters_before_its_holder_notices() {
        let mut turns = turns(Mode::Exclusive);
        turns.join('a');
        let term = turns.begin(0);
        turns.admit_next(0).unwrap();
        let b = turns.join('b');
        turns.close(term);
        assert_eq!(turns.driver(), Some(b));
        let next = turns.begin(0);
        assert_eq!(turns.admit_next(0).map(|(_, task, at)| (task, at.term)), Some(('b', next)));
        assert_eq!(turns.leave(term, 0, false), (Left::Nobody, None));
        assert_eq!(turns.leave(next, 0, false), (Left::Nobody, None));
    }

    #[test]
    fn readers_share_a_term_until_its_bound() {
        let mut turns = turns(Mode::Shared);
        turns.join('a');
        turns.join('b');
        let term = turns.begin(0);
        let counts = [(); 2].map(|()| turns.admit_next(0).unwrap().2.count);
        assert_eq!(turns.admit_next(0), None, "nobody waits");
        assert_eq!((counts, turns.admit(1).unwrap().count), ([0, 1], 2));
        assert_eq!(turns.admit(1), None, "the fourth");
        // The next one gets a node of its own, while three still read.
        let d = turns.join('d');
        assert_eq!(turns.driver(), Some(d));
        assert_eq!(turns.leave(term, 1, false), (Left::Held, None));
        assert_eq!(turns.leave(term, 1, false), (Left::Held, None));
        assert_eq!(turns.leave(term, 1, false), (Left::Nobody, None));
    }

    #[test]
    fn who_comes_back_is_in_front_again() {
        let mut turns = turns(Mode::Exclusive);
        let a = turns.join('a');
        turns.join('b');
        let term = turns.begin(0);
        turns.admit_next(0).unwrap();
        turns.rejoin(a, 'a');
        assert_eq!(turns.leave(term, 0, true), (Left::Nobody, None));
        assert_eq!(turns.driver(), Some(a));
        assert_eq!(turns.give_up(a), Some('a'));
    }
}
