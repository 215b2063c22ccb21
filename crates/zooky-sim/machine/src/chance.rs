//! Chance from a seed, by the names of the crate `getrandom`.

use std::fmt;

use crate::state::Machine;

/// Never happens: a simulated machine always has chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no machine is running")
    }
}

impl std::error::Error for Unavailable {}

/// Fills `bytes` from the present machine's chance.
///
/// # Errors
/// No machine is running.
pub fn fill(bytes: &mut [u8]) -> Result<(), Unavailable> {
    for chunk in bytes.chunks_mut(8) {
        let random = u64()?.to_le_bytes();
        chunk.copy_from_slice(&random[..chunk.len()]);
    }
    Ok(())
}

/// A number from the present machine's chance.
///
/// # Errors
/// No machine is running.
pub fn u64() -> Result<u64, Unavailable> {
    let machine = Machine::present().ok_or(Unavailable)?;
    Ok(machine.state().random())
}

/// SplitMix64.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
