//! Which strings name a znode.

/// Why a string is not the path of a znode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a znode path: {why}")]
pub struct PathError {
    /// The string.
    pub path: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Checks a path by the rules of the original: absolute, no empty, `.` or `..` component, no slash
/// at the end, none of the characters it refuses.
pub fn validate_path(path: &str) -> Result<(), PathError> {
    let fault = |why| Err(PathError { path: path.to_owned(), why });
    let Some(tail) = path.strip_prefix('/') else {
        return fault(if path.is_empty() { "it is empty" } else { "it must start with /" });
    };
    if tail.is_empty() {
        return Ok(());
    }
    if tail.ends_with('/') {
        return fault("it must not end with /");
    }
    for part in tail.split('/') {
        match part {
            "" => return fault("it has an empty component"),
            "." | ".." => return fault("relative components are not allowed"),
            _ => {}
        }
    }
    if !is_plain(path) && path.chars().any(is_refused) {
        return fault("it holds a character that ZooKeeper refuses");
    }
    Ok(())
}

/// Whether it is nothing but printable ASCII. Most paths are, and those of a megabyte are looked at many bytes at a time.
fn is_plain(path: &str) -> bool {
    path.as_bytes()
        .chunks(64)
        .all(|part| part.iter().fold(true, |plain, byte| plain & matches!(byte, 0x20..=0x7e)))
}

/// Control characters, and what lies outside the planes that the original (which looks at UTF-16
/// units one by one) lets through.
fn is_refused(c: char) -> bool {
    matches!(c as u32, 0..=0x1f | 0x7f..=0x9f | 0xe000..=0xf8ff | 0xfff0..=0xffff | 0x1_0000..)
}

/// The parent of a path; `None` for `/`.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/') {
        Some(0) if path.len() == 1 => None,
        Some(0) => Some("/"),
        Some(i) => Some(&path[..i]),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for good in ["/", "/a", "/a/b.c", "/a/...", "/ä/ü", "/a b"] {
            assert_eq!(validate_path(good), Ok(()), "{good}");
        }
        for bad in
            ["", "a", "a/b", "/a/", "//", "/a//b", "/.", "/a/..", "/a/./b", "/a\0", "/\u{1f}", "/\u{7f}"]
        {
            assert!(validate_path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parents() {
        assert_eq!(parent("/"), None);
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/a/b"), Some("/a"));
    }
}
