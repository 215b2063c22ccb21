//! Checking a data directory while no server runs on it.

use std::path::Path;
use std::sync::Arc;

use crate::data_dir;
use crate::error::StartError;
use crate::log::{self, Checked, ReadOnly, Storage};

/// Checks every snapshot and every log in the data directory `path`, ours or Apache ZooKeeper's (3.6 to 3.9), and finds out what
/// a start would recover. Nothing is changed, and the right to write is not needed. The `version-2` in it will do for `path`.
///
/// All of the largest file is in memory at once, and all of the tree.
///
/// # Errors
/// A server of ours runs on it, it is no data directory, or it cannot be read. (An Apache server that runs on it cannot be seen; its
/// newest log may then look torn.) Damage in the files is no error: see [`Checked`].
pub fn check(path: &Path) -> Result<Checked, StartError> {
    // No server of ours can start on it meanwhile.
    let (version_2, _lock) = data_dir::look(path)?;
    let storage: Arc<dyn Storage> = Arc::new(ReadOnly::new(version_2));
    Ok(log::check(&storage)?)
}
