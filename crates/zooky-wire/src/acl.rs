//! Who may do what with a znode.

use crate::{DecodeError, Reader, Writer};

/// The permission bits of an [`Acl`].
pub mod perms {
    /// May read data and list children.
    pub const READ: i32 = 1;
    /// May set data.
    pub const WRITE: i32 = 2;
    /// May create children.
    pub const CREATE: i32 = 4;
    /// May delete children.
    pub const DELETE: i32 = 8;
    /// May set the ACL.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// Somebody, as an authentication scheme names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// `world`, `auth`, `digest`, `ip`, `x509` …
    pub scheme: String,
    /// The scheme's name for them.
    pub id: String,
}

/// One entry of a znode's access control list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Acl {
    /// Bits of [`perms`].
    pub perms: i32,
    /// Whom they are given.
    pub id: Id,
}

impl Acl {
    /// The least number of bytes of an entry.
    pub(crate) const MIN_LEN: usize = 12;

    /// An entry of any scheme.
    pub fn new(perms: i32, scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Acl { perms, id: Id { scheme: scheme.into(), id: id.into() } }
    }

    /// Everybody may do everything.
    pub fn open() -> Vec<Acl> {
        vec![Acl::new(perms::ALL, "world", "anyone")]
    }

    /// Whoever is authenticated on the creating session may do everything.
    pub fn creator_all() -> Vec<Acl> {
        vec![Acl::new(perms::ALL, "auth", "")]
    }

    /// Reads an entry.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Acl { perms: r.i32()?, id: Id { scheme: r.string()?, id: r.string()? } })
    }

    /// Writes the entry.
    pub fn encode(&self, w: &mut Writer) {
        w.i32(self.perms);
        w.string(&self.id.scheme);
        w.string(&self.id.id);
    }

    /// Reads a list.
    pub fn decode_list(r: &mut Reader<'_>) -> Result<Vec<Acl>, DecodeError> {
        r.vector(Acl::MIN_LEN, Acl::decode)
    }

    /// Writes a list.
    pub fn encode_list(list: &[Acl], w: &mut Writer) {
        w.vector(list, |w, acl| acl.encode(w));
    }
}
