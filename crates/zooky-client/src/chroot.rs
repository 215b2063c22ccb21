//! The part of the tree that a session sees as its whole.

use std::fmt;

/// A prefix that is put before every path on its way to the server and taken off on its way back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chroot {
    /// Empty for the whole tree; otherwise it begins with a slash and does not end with one.
    prefix: String,
}

impl Chroot {
    /// Below `path`, which must be a valid one.
    pub(crate) fn new(path: &str) -> Chroot {
        Chroot { prefix: if path == "/" { String::new() } else { path.to_owned() } }
    }

    /// A path as the server knows it.
    pub(crate) fn inward(&self, path: &str) -> String {
        match path {
            "/" if !self.prefix.is_empty() => self.prefix.clone(),
            _ if self.prefix.is_empty() => path.to_owned(),
            _ => {
                let mut whole = String::with_capacity(self.prefix.len() + path.len());
                whole.push_str(&self.prefix);
                whole.push_str(path);
                whole
            }
        }
    }

    /// A path as the session knows it. One that does not lie below the chroot is left as it is.
    pub(crate) fn outward(&self, mut path: String) -> String {
        if self.prefix.is_empty() {
            return path;
        }
        match path.strip_prefix(&self.prefix) {
            Some("") => "/".to_owned(),
            Some(tail) if tail.starts_with('/') => path.split_off(self.prefix.len()),
            _ => path,
        }
    }

    /// Whether it is the whole tree.
    pub(crate) fn is_root(&self) -> bool {
        self.prefix.is_empty()
    }
}

impl fmt::Display for Chroot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_and_out() {
        let chroot = Chroot::new("/app");
        for (inside, outside) in [("/", "/app"), ("/a", "/app/a"), ("/app", "/app/app")] {
            assert_eq!(chroot.inward(inside), outside);
            assert_eq!(chroot.outward(outside.into()), inside);
        }
        assert_eq!(chroot.outward("/apple".into()), "/apple");
        let whole = Chroot::new("/");
        assert_eq!((whole.inward("/"), whole.outward("/a".into())), ("/".into(), "/a".into()));
    }
}
