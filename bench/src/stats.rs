//! Medians, percentiles and the spread over rounds.

/// A figure as it came out in several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The median over the rounds.
    pub(crate) median: f64,
    /// The smallest round's.
    pub(crate) min: f64,
    /// The largest round's.
    pub(crate) max: f64,
}

impl Spread {
    /// Of one value for each round; `None` without any.
    pub(crate) fn of(values: &[f64]) -> Option<Spread> {
        let median = percentile(values, 50.0)?;
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Spread { median, min, max })
    }
}

/// The value that `percent` of all values do not exceed, between two values by interpolation; `None` without
/// values.
pub(crate) fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let position = last as f64 * (percent / 100.0).clamp(0.0, 1.0);
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    let (low, high) = (sorted.get(below)?, sorted.get(above)?);
    Some(low + (high - low) * position.fract())
}

/// The median; `None` without values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile(&values, 0.0), Some(1.0));
        assert_eq!(percentile(&values, 50.0), Some(2.5));
        assert_eq!(percentile(&values, 100.0), Some(4.0));
        assert_eq!(percentile(&[], 50.0), None);
        assert_eq!(median(&[7.0]), Some(7.0));
    }

    #[test]
    fn the_spread_is_that_of_the_rounds() {
        let spread = Spread::of(&[5.0, 1.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { median: 2.0, min: 1.0, max: 5.0 });
        assert_eq!(Spread::of(&[]), None);
    }
}
