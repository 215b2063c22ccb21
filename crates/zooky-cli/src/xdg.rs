//! The user's directories, as the XDG specification has them.

use std::path::PathBuf;

/// The directory that `variable` names, else the one at `below` in the user's home. A relative path counts as not set.
pub(crate) fn base(variable: &str, below: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below)))
}
