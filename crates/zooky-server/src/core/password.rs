//! Session passwords: derived from the session's id, so that none has to be stored.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zooky_wire::PASSWORD_LEN;

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

impl PasswordRule {
    /// The password of a session.
    pub(super) fn password(&self, session: i64) -> [u8; PASSWORD_LEN] {
        let mut password = [0; PASSWORD_LEN];
        match self {
            PasswordRule::Keyed(key) => {
                // A key of 32 bytes is never refused; were it, no password would be accepted.
                if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) {
                    mac.update(&session.to_be_bytes());
                    password.copy_from_slice(&mac.finalize().into_bytes()[..PASSWORD_LEN]);
                }
            }
            PasswordRule::Original => {
                let mut random = JavaRandom::new(session ^ 0xB341_5C00);
                for chunk in password.chunks_exact_mut(4) {
                    chunk.copy_from_slice(&random.next_int().to_le_bytes());
                }
            }
        }
        password
    }

    /// Whether `given` is the session's password, in a time that does not tell how much of it is.
    pub(super) fn check(&self, session: i64, given: &[u8]) -> bool {
        let right = self.password(session);
        let difference = right.iter().zip(given).fold(0u8, |d, (a, b)| d | (a ^ b));
        session != 0 && given.len() == right.len() && difference == 0
    }
}

/// The generator of `java.util.Random`.
struct JavaRandom(u64);

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: i64) -> JavaRandom {
        JavaRandom((seed as u64 ^ Self::MULTIPLIER) & Self::MASK)
    }

    fn next_int(&mut self) -> u32 {
        self.0 = (self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xB)) & Self::MASK;
        (self.0 >> 16) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_random_is_the_known_one() {
        // new java.util.Random(42).nextInt()
        assert_eq!(JavaRandom::new(42).next_int() as i32, -1_170_105_035);
    }

    #[test]
    fn only_the_right_password_is_right() {
        for rule in [PasswordRule::Keyed([7; 32]), PasswordRule::Original] {
            let right = rule.password(0x0123);
            assert!(rule.check(0x0123, &right));
            assert!(!rule.check(0x0124, &right));
            assert!(!rule.check(0x0123, &right[..15]));
            assert!(!rule.check(0x0123, &[]));
            assert!(!rule.check(0, &rule.password(0)));
            for bit in 0..128 {
                let mut wrong = right;
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(!rule.check(0x0123, &wrong));
            }
        }
        assert_ne!(PasswordRule::Keyed([1; 32]).password(1), PasswordRule::Keyed([2; 32]).password(1));
    }
}
