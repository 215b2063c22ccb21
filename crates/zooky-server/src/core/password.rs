//! Session passwords: derived from the session's id, so that none has to be stored.

/// How session passwords are made.
#[derive(Clone)]
pub enum PasswordRule {
    /// HMAC-SHA-256 of the id with a secret key, cut to 16 bytes: nobody can guess it.
    Keyed([u8; 32]),
    /// Apache ZooKeeper's rule, which anybody can compute: for data that an ensemble of the original
    /// is going to take over with its sessions alive.
    Original,
}

impl std::fmt::Debug for PasswordRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PasswordRule::Keyed(_) => "Keyed(..)",
            PasswordRule::Original => "Original",
        })
    }
}
