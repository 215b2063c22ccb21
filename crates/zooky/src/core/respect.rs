//! Who respects whom: the table behind every refusal and every report of a foreign contender.
//!
//! Each client library orders the children of a directory in its own way, and overlooks those that it
//! does not know. Two kinds of contenders exclude each other only if each, coming second, waits for
//! the other. The rows were read off the sources of the clients; a test compares them with small
//! models of how each client sorts, and `tests/interop.rs` with the clients themselves.

use super::dialect::{Classified, Kind, Mode, classify, is_note};

/// Whether a contender waits for one with a smaller number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sees {
    /// Always.
    Yes,
    /// The name does not tell: kazoo's Lock and WriteLock look the same, and only the WriteLock
    /// waits for readers.
    Perhaps,
    /// Not reliably: it overlooks it, or sorts it elsewhere.
    No,
}

/// Whether a stock client that wrote `later` waits for `earlier`, which came before it and which it
/// has to exclude.
fn stock_sees(later: Kind, earlier: Kind) -> Sees {
    use Kind::*;
    // Ends in a dash and the number alone: zktools, ZooKeeper's recipe and others sort by these digits.
    let digits_after_dash = matches!(
        earlier,
        CuratorMutex
            | CuratorLease
            | ZkLock
            | ZkWriter
            | ZkReader
            | ZkAsync
            | OldZkLock
            | OldZkWriter
            | OldZkReader
            | Recipe
            | Go
            | AiozkLock
            | AiozkWriter
            | AiozkReader
    );
    let sees = match later {
        KazooLock if earlier == KazooReader => return Sees::Perhaps,
        KazooLock | KazooReader => earlier == KazooLock,
        // It sorts by what follows the last `lock-`; a ZkLock (`-lock--N`) so comes first at any time.
        CuratorMutex => matches!(earlier, CuratorMutex | ZkAsync | OldZkLock | Go),
        CuratorWriter => matches!(earlier, CuratorWriter | CuratorReader),
        CuratorReader => earlier == CuratorWriter,
        ZkLock | ZkWriter | ZkAsync | OldZkLock | OldZkWriter | Recipe => digits_after_dash,
        ZkReader => earlier == ZkWriter,
        OldZkReader => matches!(earlier, OldZkWriter | AiozkWriter),
        // It gives up with an error where it cannot read a number, which is not to wait.
        Go => matches!(
            earlier,
            CuratorMutex | ZkAsync | OldZkLock | Go | KazooLock | KazooReader | CuratorWriter | CuratorReader
        ),
        AiozkLock | AiozkWriter => !matches!(earlier, KazooLease | CuratorSemaphore),
        AiozkReader => earlier == AiozkWriter,
        // It only looks at names that contain its own, which may be anything.
        RustClient | KazooLease | CuratorLease | CuratorSemaphore => false,
    };
    if sees { Sees::Yes } else { Sees::No }
}

/// What a client of ours that writes `later` waits for: what the stock one does and, where that is
/// blind within its own family, what it overlooks.
fn ours_sees(later: Kind, earlier: Kind) -> bool {
    use Kind::*;
    match (later, earlier) {
        (KazooLock, KazooReader) | (ZkReader, ZkLock | ZkAsync) => true,
        _ => stock_sees(later, earlier) == Sees::Yes,
    }
}

/// Whether `found` belongs to the semaphore that `own` is a lease of: leases are counted, and stand beside each other.
fn one_semaphore(own: Kind, found: Kind) -> bool {
    match own {
        Kind::KazooLease => found == Kind::KazooLease,
        Kind::CuratorLease => matches!(found, Kind::CuratorLease | Kind::CuratorSemaphore),
        _ => false,
    }
}

/// Whether two kinds are sides of one read/write lock, so that readers of it may share.
fn shares(a: Kind, b: Kind) -> bool {
    a == b && a.mode() == Mode::Shared
}

/// Whether `later`, whoever wrote it, waits for `earlier`, which has a smaller number.
pub(crate) fn sees(later: &Classified, earlier: &Classified) -> Sees {
    if shares(later.kind, earlier.kind) {
        Sees::No
    } else if !later.ours {
        stock_sees(later.kind, earlier.kind)
    } else if ours_sees(later.kind, earlier.kind) {
        Sees::Yes
    } else {
        Sees::No
    }
}

/// Whether a contender of ours of the kind `own` may share a directory with the child `found`: each
/// waits for the other if it comes second, or both are readers of one lock.
pub(crate) fn excludes(own: Kind, found: &Classified) -> bool {
    if shares(own, found.kind) {
        return true;
    }
    let own = Classified::new(own, true, None);
    sees(&own, found) == Sees::Yes && sees(found, &own) != Sees::No
}

/// How sure it is that a child does not respect a lock that we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Danger {
    Certain,
    Possible,
}

/// Whether a child endangers a lock that one of ours of the kind `own` holds. Others of zooky's do not:
/// they refuse the directory by themselves.
pub(crate) fn danger(own: Kind, name: &str) -> Option<Danger> {
    match classify(name) {
        None if is_note(name) => None,
        None => Some(Danger::Possible),
        Some(found) if found.ours || shares(own, found.kind) || one_semaphore(own, found.kind) => None,
        Some(found) => match stock_sees(found.kind, own) {
            Sees::Yes => None,
            Sees::Perhaps => Some(Danger::Possible),
            Sees::No => Some(Danger::Certain),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of this kind as a stock client writes it.
    fn name(kind: Kind, id: u128, n: u32) -> String {
        use Kind::*;
        let hex = format!("{:032x}", id & !(0xf << 76) | 4 << 76);
        let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        match kind {
            KazooLock => format!("{hex}__lock__{n:010}"),
            KazooReader => format!("{hex}__rlock__{n:010}"),
            KazooLease => hex,
            CuratorMutex => format!("_c_{uuid}-lock-{n:010}"),
            CuratorWriter => format!("_c_{uuid}-__WRIT__{n:010}"),
            CuratorReader => format!("_c_{uuid}-__READ__{n:010}"),
            CuratorLease => format!("_c_{uuid}-lease-{n:010}"),
            CuratorSemaphore => "locks".into(),
            ZkLock => format!("{hex}-lock--{n:010}"),
            ZkWriter => format!("{hex}-write--{n:010}"),
            ZkReader => format!("{hex}-read--{n:010}"),
            ZkAsync => format!("{hex}-lock-{n:010}"),
            OldZkLock => format!("lock-{n:010}"),
            OldZkWriter => format!("write-{n:010}"),
            OldZkReader => format!("read-{n:010}"),
            Recipe => format!("x-{}-{n:010}", id as u64 >> 8),
            Go => format!("_c_{hex}-lock-{n:010}"),
            RustClient => format!("_c_{uuid}-any{n:010}"),
            AiozkLock => format!("lock-{hex}-{n:010}"),
            AiozkWriter => format!("write-{hex}-{n:010}"),
            AiozkReader => format!("read-{hex}-{n:010}"),
        }
    }

    fn after<'a>(name: &'a str, mark: &str) -> &'a str {
        name.rfind(mark).map_or(name, |at| &name[at + mark.len()..])
    }

    fn digits(text: &str) -> Option<&str> {
        (text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
    }

    /// Whether the client that wrote `me`, of this kind, waits for `other`: a model of each one's sorting. The
    /// model of `KazooLock` is the Lock, which is the blind one.
    fn model(kind: Kind, me: &str, other: &str) -> bool {
        use Kind::*;
        let before = |key: &dyn Fn(&str) -> String| key(other) < key(me);
        let by_dash = |name: &str| after(name, "-").to_owned();
        let number = |name: &str, mark: &str| digits(after(name, mark)).map(str::to_owned);
        let of = |name: &str| number(name, "__lock__").filter(|_| name.contains("__lock__"));
        match kind {
            KazooLock => of(other).is_some_and(|n| n < of(me).unwrap()),
            KazooReader => of(other).is_some_and(|n| n < number(me, "__rlock__").unwrap()),
            CuratorMutex => before(&|name| after(name, "lock-").to_owned()),
            CuratorWriter => before(&|name| after(after(name, "__READ__"), "__WRIT__").to_owned()),
            CuratorReader => {
                other.contains("__WRIT__")
                    && before(&|name| after(after(name, "__READ__"), "__WRIT__").to_owned())
            }
            ZkLock | ZkWriter | ZkAsync | OldZkLock | OldZkWriter => before(&by_dash),
            ZkReader => other.contains("-write-") && before(&by_dash),
            OldZkReader => other.starts_with("write-") && before(&by_dash),
            Recipe => digits(after(other, "-")).is_some_and(|n| n < after(me, "-")),
            Go => {
                let parsed = |name: &str| -> Option<i64> {
                    let mark = if name.contains("lock-") { "lock-" } else { "__" };
                    after(name, mark).parse().ok()
                };
                parsed(other).is_some_and(|n| n >= 0 && n < parsed(me).unwrap())
            }
            AiozkLock | AiozkWriter => {
                let ten = |name: &str| {
                    name.get(name.len().saturating_sub(10)..).and_then(digits).map(str::to_owned)
                };
                ten(other).is_some_and(|n| n < ten(me).unwrap())
            }
            AiozkReader => {
                let label = other.rsplitn(3, '-').nth(2).unwrap_or(other);
                label == "write" && other[other.len() - 10..] < me[me.len() - 10..]
            }
            RustClient | KazooLease | CuratorLease | CuratorSemaphore => false,
        }
    }

    /// "Yes" in the table must mean: waits for the earlier one, and is not waited for by it in turn.
    #[test]
    fn the_table_says_how_each_client_sorts() {
        let ids = [1 << 120, 0x9999 << 112, 0xabcd << 112 | 7, 0xffff << 112 | 3];
        for &later in Kind::ALL {
            for &earlier in Kind::ALL {
                if shares(later, earlier) {
                    continue;
                }
                let in_order = ids.iter().flat_map(|a| ids.iter().map(move |b| (*a, *b))).all(|(a, b)| {
                    let (first, second) = (name(earlier, a, 5), name(later, b, 7));
                    model(later, &second, &first) && !model(later, &name(later, b, 5), &name(earlier, a, 7))
                });
                let expected = if in_order { Sees::Yes } else { Sees::No };
                match stock_sees(later, earlier) {
                    Sees::Perhaps => assert_eq!((later, earlier), (Kind::KazooLock, Kind::KazooReader)),
                    sees => assert_eq!(sees, expected, "{later:?} behind {earlier:?}"),
                }
            }
        }
    }

    /// FIELD's list of what is silently granted to two, and what is known to be safe.
    #[test]
    fn each_family_shares_with_those_that_see_it() {
        use Kind::*;
        let shared_with = |own: Kind| {
            let kinds = Kind::ALL.iter().copied();
            kinds.filter(|&kind| excludes(own, &classify(&name(kind, 5, 1)).unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(shared_with(KazooLock), [KazooLock, KazooReader]);
        assert_eq!(shared_with(KazooReader), [KazooLock, KazooReader]);
        assert_eq!(shared_with(CuratorMutex), [CuratorMutex, ZkAsync, OldZkLock, Go]);
        assert_eq!(shared_with(CuratorWriter), [CuratorWriter, CuratorReader]);
        assert_eq!(shared_with(CuratorReader), [CuratorWriter, CuratorReader]);
        let zktools = [ZkLock, ZkWriter, ZkAsync, OldZkLock, OldZkWriter, Recipe, AiozkLock, AiozkWriter];
        assert_eq!(shared_with(ZkLock), zktools);
        // A stock ZkReadLock sees writers, and nothing else.
        assert_eq!(shared_with(ZkWriter), [&[ZkLock, ZkWriter, ZkReader], &zktools[2..]].concat());
        assert_eq!(shared_with(ZkReader), [ZkLock, ZkWriter, ZkReader, ZkAsync]);
        assert_eq!(shared_with(ZkAsync), [&[CuratorMutex], &zktools[..6], &[Go], &zktools[6..]].concat());
    }

    #[test]
    fn who_comes_second_and_does_not_wait_is_a_danger() {
        let mutex = name(Kind::CuratorMutex, 5, 3);
        assert_eq!(danger(Kind::KazooLock, &mutex), Some(Danger::Certain));
        assert_eq!(danger(Kind::CuratorWriter, &mutex), Some(Danger::Certain));
        assert_eq!(danger(Kind::CuratorMutex, &mutex), None);
        assert_eq!(danger(Kind::KazooReader, &name(Kind::KazooLock, 5, 3)), Some(Danger::Possible));
        assert_eq!(danger(Kind::KazooReader, &name(Kind::KazooReader, 5, 3)), None);
        assert_eq!(danger(Kind::ZkLock, &name(Kind::ZkReader, 5, 3)), Some(Danger::Certain));
        // One of ours of another dialect refuses the directory by itself.
        assert_eq!(danger(Kind::ZkLock, &format!("{}0000000003", Kind::ZkReader.prefix(5))), None);
        assert_eq!(danger(Kind::KazooLock, &format!("{}0000000003", Kind::CuratorMutex.prefix(5))), None);
        // go-zookeeper's waits for kazoo's, though kazoo's does not for it: whoever comes next refuses.
        assert_eq!(danger(Kind::KazooLock, &name(Kind::Go, 5, 3)), None);
        // Semaphores: the others' leases and directories in one layout, not across the two.
        let leases = [Kind::KazooLease, Kind::CuratorLease].map(|kind| name(kind, 5, 3));
        for (own, found, expected) in [
            (Kind::KazooLease, &*leases[0], None),
            (Kind::KazooLease, "leases", Some(Danger::Certain)),
            (Kind::CuratorLease, &*leases[1], None),
            (Kind::CuratorLease, "locks", None),
            (Kind::CuratorLease, &*leases[0], Some(Danger::Certain)),
            (Kind::CuratorLease, &*mutex, Some(Danger::Certain)),
        ] {
            assert_eq!(danger(own, found), expected, "{own:?} and {found}");
        }
        assert_eq!(danger(Kind::KazooLock, "config"), Some(Danger::Possible));
        assert_eq!(danger(Kind::KazooLock, "zooky.delay.x"), None);
    }

    #[test]
    fn our_zktools_reader_waits_for_locks_and_the_stock_one_does_not() {
        let lock = classify(&name(Kind::ZkLock, 5, 1)).unwrap();
        let stock = classify(&name(Kind::ZkReader, 6, 2)).unwrap();
        let ours = Classified { ours: true, ..stock };
        assert_eq!((sees(&ours, &lock), sees(&stock, &lock)), (Sees::Yes, Sees::No));
        assert!(excludes(Kind::ZkLock, &ours) && !excludes(Kind::ZkLock, &stock));
    }
}
