//! The children that keep ours out of a directory: who finds one is told of the others, too. Pure.

use std::fmt;

use super::dialect::Classified;
use super::queue::Refusal;

/// How many are named beside the first.
const NAMED: usize = 8;

/// The children that keep ours out of a directory beside the one that an error is about: contenders that share no queue with
/// ours first, in their order, then those that nobody known writes. At most eight are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// The names of the first few.
    pub names: Vec<String>,
    /// How many there are that are not named.
    pub more: usize,
}

impl Others {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// What an error says at its end; nothing, if there are none.
impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        write!(f, " (also in the way: {}", self.names.join(", "))?;
        if self.more > 0 { write!(f, ", and {} more)", self.more) } else { write!(f, ")") }
    }
}

/// Those that were found so far.
#[derive(Debug, Default)]
pub(crate) struct Strangers<'a>(Vec<(&'a str, Option<Classified>)>);

impl<'a> Strangers<'a> {
    /// `what` its name says; `None` if nobody known writes it.
    pub(crate) fn add(&mut self, child: &'a str, what: Option<Classified>) {
        self.0.push((child, what));
    }

    /// Why ours may not be there; `None` if nobody was found.
    pub(crate) fn refusal(mut self) -> Option<Refusal> {
        self.0.sort_by_key(|&(name, what)| (what.is_none(), what.and_then(|what| what.sequence), name));
        let ((child, what), others) = self.0.split_first()?;
        let names = others.iter().take(NAMED).map(|(name, _)| (*name).to_owned()).collect();
        let others = Others { names, more: others.len().saturating_sub(NAMED) };
        let child = (*child).to_owned();
        Some(match what {
            Some(what) => Refusal::Foreign { child, kind: what.kind, others },
            None => Refusal::Unknown { child, others },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{Kind, classify};
    use super::*;

    fn refusal(names: &[String]) -> Option<Refusal> {
        let mut strangers = Strangers::default();
        names.iter().for_each(|name| strangers.add(name, classify(name)));
        strangers.refusal()
    }

    #[test]
    fn contenders_come_first_in_their_order() {
        let contender = |n: u32| format!("{}{n:010}", Kind::CuratorMutex.prefix(u128::from(9 - n)));
        let (first, second) = (contender(3), contender(4));
        let names = ["config".to_owned(), second.clone(), first.clone()];
        let others = Others { names: vec![second, "config".into()], more: 0 };
        assert_eq!(
            refusal(&names),
            Some(Refusal::Foreign { child: first, kind: Kind::CuratorMutex, others })
        );
        let alone = Refusal::Unknown { child: "config".into(), others: Others::default() };
        assert_eq!(refusal(&names[..1]), Some(alone));
        assert_eq!(refusal(&[]), None);
    }

    #[test]
    fn of_many_a_few_are_named_and_the_rest_is_counted() {
        let names: Vec<_> = (0..12).map(|n| format!("child-{n:02}")).collect();
        let Some(Refusal::Unknown { child, others }) = refusal(&names) else { panic!() };
        assert_eq!((child.as_str(), &others.names[..], others.more), ("child-00", &names[1..9], 3));
        let text = others.to_string();
        assert!(text.starts_with(" (also in the way: child-01, child-02, "), "{text}");
        assert!(text.ends_with("child-08, and 3 more)"), "{text}");
        let two = Others { names: names[..2].to_vec(), more: 0 };
        assert!(
            two.to_string().ends_with(": child-00, child-01)") && Others::default().to_string().is_empty()
        );
    }
}
