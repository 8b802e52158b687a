//! Durations on the command line.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

/// Parses a duration such as `15s`, `10m` or `1h30m`.
///
/// # Errors
/// `text` is not a duration, negative or zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text:?} is not a duration: use for example 15s, 10m or 1h");
    let signed: SignedDuration = text.parse().map_err(|_| invalid())?;
    let duration = Duration::try_from(signed).map_err(|_| invalid())?;
    if duration.is_zero() { Err("must be longer than zero".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_and_is_positive() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        for invalid in ["", "15", "soon", "-3s", "0s"] {
            assert!(duration(invalid).is_err(), "{invalid:?}");
        }
    }
}
