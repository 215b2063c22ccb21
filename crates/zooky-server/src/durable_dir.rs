//! Directories that are still there after a loss of power.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::log::sync_directory;

/// Makes a directory and those above it that are missing, for their owner alone (mode 0700). Once this has returned, none of
/// them goes with a loss of power, nor if an earlier call was killed in between. One that is there already is left as it is.
///
/// # Errors
/// When one of them cannot be made, or the one above it cannot be opened and synced.
pub fn make_durable_dir(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let mut missing = Vec::new();
    let mut there = path.as_path();
    while !there.try_exists()? {
        missing.push(there);
        let Some(parent) = there.parent() else { break };
        there = parent;
    }
    // Whoever made it last may have been killed before it was synced. Below it nothing is made before it is durable, and so all
    // above it is durable already.
    if let Some(above) = fs::canonicalize(there)?.parent() {
        sync_if_it_may_be_ours(above)?;
    }
    for dir in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(dir) {
            // Somebody else was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            other => other?,
        }
        if let Some(above) = dir.parent() {
            sync_directory(above)?;
        }
    }
    Ok(())
}

/// Syncs a directory, unless nobody like us has made anything in it: we may not read it, or it lies on a file system that is
/// read-only or knows no syncs.
fn sync_if_it_may_be_ours(dir: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    match sync_directory(dir) {
        Err(e) if [InvalidInput, PermissionDenied, ReadOnlyFilesystem].contains(&e.kind()) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn all_that_is_missing_is_made_private() {
        let top = tempfile::tempdir().unwrap();
        let (link, file) = (top.path().join("link"), top.path().join("file"));
        symlink(top.path(), &link).unwrap();
        let dir = link.join("a/b/c");
        make_durable_dir(&dir).unwrap();
        make_durable_dir(&dir).unwrap();
        for made in ["a", "a/b", "a/b/c"] {
            let mode = fs::metadata(top.path().join(made)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{made}");
        }
        fs::write(&file, "").unwrap();
        assert!(make_durable_dir(&file.join("a")).is_err(), "below a file there is none");
    }
}
