//! The secret that session passwords are derived from.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::data_dir::DataDir;
use crate::error::StartError;
use crate::log::sync_directory;

const NAME: &str = "zooky.secret";
const UNFINISHED: &str = "zooky.secret.unfinished";

/// Reads the directory's secret, or makes one (from the system's randomness, readable by the owner only,
/// durable before it is used). It is never shown or logged.
pub(crate) fn load_or_make(dir: &DataDir) -> Result<[u8; 32], StartError> {
    let path = dir.path().join(NAME);
    match fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| StartError::Secret { path }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|e| StartError::System {
                what: "get random bytes",
                source: io::Error::other(e.to_string()),
            })?;
            store(dir, &secret).map_err(|source| StartError::DataDir { what: "write", path, source })?;
            Ok(secret)
        }
        Err(source) => Err(StartError::DataDir { what: "read", path, source }),
    }
}

fn store(dir: &DataDir, secret: &[u8]) -> io::Result<()> {
    let unfinished = dir.path().join(UNFINISHED);
    let mut options = OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(secret)?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.path().join(NAME))?;
    sync_directory(dir.path())
}
