//! ACLs: stored once each, checked at every request and again when a watch fires.

use std::borrow::Cow;

use zooky_wire::{Acl, ErrorCode, Id, perms};

use super::auth;
use super::hash::{Hashing, IdTable};
use super::node::AclId;
use super::room::acl_bytes;

/// The open ACL; snapshots know it as -1.
pub(super) const OPEN: AclId = 0;

#[derive(Debug)]
struct Entry {
    acl: Vec<Acl>,
    uses: u64,
}

/// Every ACL that some node has, once.
#[derive(Debug)]
pub(super) struct AclTable {
    entries: Vec<Entry>,
    free: Vec<AclId>,
    index: IdTable,
    hashing: Hashing,
    /// While a snapshot is taken: numbers whose last use has gone. They stay what they are until it is done.
    frozen: Option<Vec<AclId>>,
    bytes: u64,
}

impl AclTable {
    pub(super) fn new(hashing: Hashing) -> AclTable {
        AclTable {
            entries: vec![Entry { acl: Acl::open(), uses: 1 }],
            free: Vec::new(),
            index: IdTable::default(),
            hashing,
            frozen: None,
            bytes: 0,
        }
    }

    /// The list behind a number.
    pub(super) fn get(&self, id: AclId) -> &[Acl] {
        self.entries.get(id as usize).map_or(&[], |e| &e.acl)
    }

    /// Counts one more use of `acl` and returns its number.
    pub(super) fn acquire(&mut self, acl: &[Acl]) -> AclId {
        if acl == self.entries[OPEN as usize].acl {
            return OPEN;
        }
        let hash = self.hashing.of(acl);
        if let Some(id) = self.index.find(hash, |id| self.entries[id as usize].acl == acl) {
            self.entries[id as usize].uses += 1;
            return id;
        }
        let entry = Entry { acl: acl.to_vec(), uses: 1 };
        // A snapshot under way must not meet another list under a number that it may know.
        let id = match self.free.pop_if(|_| self.frozen.is_none()) {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as AclId
            }
        };
        self.bytes += acl_bytes(acl);
        self.index.insert(hash, id);
        id
    }

    /// Counts one more use of a number that is in use.
    pub(super) fn share(&mut self, id: AclId) {
        if id != OPEN {
            self.entries[id as usize].uses += 1;
        }
    }

    /// Counts one use less; the last one frees the number.
    pub(super) fn release(&mut self, id: AclId) {
        if id == OPEN {
            return;
        }
        let entry = &mut self.entries[id as usize];
        entry.uses -= 1;
        if entry.uses > 0 {
            return;
        }
        match &mut self.frozen {
            Some(unused) => unused.push(id),
            None => self.free(id),
        }
    }

    fn free(&mut self, id: AclId) {
        let acl = std::mem::take(&mut self.entries[id as usize].acl);
        self.bytes -= acl_bytes(&acl);
        self.index.remove(self.hashing.of(&acl[..]), id);
        self.free.push(id);
    }

    /// From now on every number keeps its list, until [`AclTable::thaw`]. Returns how many there are.
    pub(super) fn freeze(&mut self) -> usize {
        self.thaw();
        self.frozen = Some(Vec::new());
        self.entries.len() - 1 - self.free.len()
    }

    /// Frees what has become unused meanwhile.
    pub(super) fn thaw(&mut self) {
        let mut unused = self.frozen.take().unwrap_or_default();
        unused.sort_unstable();
        unused.dedup();
        for id in unused {
            if self.entries[id as usize].uses == 0 {
                self.free(id);
            }
        }
    }

    /// Behind the greatest number.
    pub(super) fn end(&self) -> AclId {
        self.entries.len() as AclId
    }

    /// The list that a number had when the table was frozen; `None`: it was free.
    pub(super) fn frozen(&self, id: AclId) -> Option<&[Acl]> {
        let entry = self.entries.get(id as usize)?;
        let unused = || self.index.find(self.hashing.of(&entry.acl[..]), |other| other == id).is_some();
        (entry.uses > 0 || unused()).then_some(&entry.acl[..])
    }

    /// What all of them take, see [`acl_bytes`].
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Numbers and lists in use, the open one excepted.
    pub(super) fn iter(&self) -> impl Iterator<Item = (AclId, &[Acl])> {
        let used = self.entries.iter().enumerate().skip(1).filter(|(_, e)| e.uses > 0);
        used.map(|(id, e)| (id as AclId, &e.acl[..]))
    }
}

/// Whether one of `ids` has one of the permissions `wanted`. An empty list allows everything, as in
/// the original.
pub(super) fn check(acl: &[Acl], wanted: i32, ids: &[Id]) -> Result<(), ErrorCode> {
    if acl.is_empty() || ids.iter().any(|id| id.scheme == "super") {
        return Ok(());
    }
    let allowed = acl.iter().filter(|entry| entry.perms & wanted != 0).any(|entry| {
        let granted = &entry.id;
        (granted.scheme == "world" && granted.id == "anyone")
            || ids.iter().any(|id| id.scheme == granted.scheme && auth::matches(id, &granted.id))
    });
    if allowed { Ok(()) } else { Err(ErrorCode::NO_AUTH) }
}

/// The ACL that a request's becomes: duplicates removed, `auth` replaced by the session's own ids,
/// everything else checked.
pub(super) fn fix(requested: Vec<Acl>, ids: &[Id]) -> Result<Vec<Acl>, ErrorCode> {
    if let [only] = &requested[..]
        && only.id.scheme == "world"
        && only.id.id == "anyone"
    {
        return Ok(requested);
    }
    let mut fixed = Vec::with_capacity(requested.len());
    for (i, entry) in requested.iter().enumerate() {
        if requested[..i].contains(entry) {
            continue;
        }
        match entry.id.scheme.as_str() {
            "world" if entry.id.id == "anyone" => fixed.push(entry.clone()),
            "auth" => {
                let before = fixed.len();
                let own = ids.iter().filter(|id| auth::is_authenticated(id));
                fixed.extend(own.map(|id| Acl { perms: entry.perms, id: id.clone() }));
                if fixed.len() == before {
                    return Err(ErrorCode::INVALID_ACL);
                }
            }
            _ if auth::is_valid(&entry.id) => fixed.push(entry.clone()),
            _ => return Err(ErrorCode::INVALID_ACL),
        }
    }
    if fixed.is_empty() { Err(ErrorCode::INVALID_ACL) } else { Ok(fixed) }
}

/// The ACL as `getACL` shows it: digests masked for those who may not set it.
pub(super) fn masked<'a>(acl: &'a [Acl], ids: &[Id]) -> Cow<'a, [Acl]> {
    if check(acl, perms::ADMIN, ids).is_ok() {
        return Cow::Borrowed(acl);
    }
    let mask = |entry: &Acl| match entry.id.id.split_once(':') {
        Some((user, _)) if entry.id.scheme == "digest" => {
            Acl::new(entry.perms, "digest", format!("{user}:x"))
        }
        _ => entry.clone(),
    };
    Cow::Owned(acl.iter().map(mask).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(scheme: &str, id: &str) -> Id {
        Id { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn lists_are_kept_once_and_freed() {
        let mut table = AclTable::new(Hashing::new(1));
        let list = vec![Acl::new(1, "world", "anyone")];
        let a = table.acquire(&list);
        assert_eq!(table.acquire(&list), a);
        assert_ne!(a, OPEN);
        assert_eq!(table.acquire(&Acl::open()), OPEN);
        table.release(a);
        assert_eq!(table.iter().count(), 1);
        table.release(a);
        assert_eq!(table.iter().count(), 0);
        let other = table.acquire(&[Acl::new(2, "ip", "1.2.3.4")]);
        assert_eq!(other, a, "a freed number is used again");
        assert_eq!(table.get(other)[0].id.scheme, "ip");
    }

    #[test]
    fn checks() {
        let acl = [Acl::new(perms::READ, "digest", "u:h"), Acl::new(perms::WRITE, "ip", "10.0.0.0/8")];
        assert!(check(&acl, perms::READ, &[id("digest", "u:h")]).is_ok());
        assert_eq!(check(&acl, perms::WRITE, &[id("digest", "u:h")]), Err(ErrorCode::NO_AUTH));
        assert!(check(&acl, perms::WRITE, &[id("ip", "10.1.2.3")]).is_ok());
        assert_eq!(check(&acl, perms::WRITE, &[id("ip", "11.1.2.3")]), Err(ErrorCode::NO_AUTH));
        assert!(check(&acl, perms::ADMIN, &[id("super", "")]).is_ok());
        assert_eq!(check(&acl, perms::READ, &[]), Err(ErrorCode::NO_AUTH));
    }

    #[test]
    fn auth_becomes_the_sessions_ids() {
        let ids = [id("ip", "1.2.3.4"), id("digest", "u:h"), id("digest", "v:h")];
        let fixed = fix(Acl::creator_all(), &ids).unwrap();
        assert_eq!(fixed, vec![Acl::new(31, "digest", "u:h"), Acl::new(31, "digest", "v:h")]);
        for bad in [
            vec![],
            vec![Acl::new(31, "world", "me")],
            vec![Acl::new(31, "nobody", "x")],
            vec![Acl::new(31, "digest", "no-colon")],
            vec![Acl::new(31, "ip", "1.2.3.256")],
        ] {
            assert_eq!(fix(bad.clone(), &ids), Err(ErrorCode::INVALID_ACL), "{bad:?}");
        }
        assert_eq!(fix(Acl::creator_all(), &ids[..1]), Err(ErrorCode::INVALID_ACL));
        let twice = vec![Acl::new(1, "ip", "1.2.3.4"), Acl::new(1, "ip", "1.2.3.4")];
        assert_eq!(fix(twice, &ids).unwrap().len(), 1);
    }

    #[test]
    fn digests_are_masked_without_admin() {
        let acl = [Acl::new(perms::ADMIN, "digest", "u:hash"), Acl::new(perms::READ, "world", "anyone")];
        assert_eq!(masked(&acl, &[])[0].id.id, "u:x");
        assert_eq!(masked(&acl, &[id("digest", "u:hash")])[0].id.id, "u:hash");
    }
}
