//! The queue of spans, and the batches in which they are exported.
//!
//! The SDK allocates the whole queue at the start, and limits none of its variables: a queue that is too
//! long would exhaust the memory, and a delay of zero a processor.

use std::ops::RangeInclusive;
use std::time::Duration;

use opentelemetry_sdk::trace::BatchConfig;
use opentelemetry_sdk::trace::BatchConfigBuilder;

use crate::telemetry::export::environment::Ignored;
use crate::telemetry::export::environment::Variables;

/// A variable with a number.
struct Number {
    variable: &'static str,
    /// The SDK's default.
    default: usize,
    allowed: RangeInclusive<usize>,
}

const QUEUE: Number =
    Number { variable: "OTEL_BSP_MAX_QUEUE_SIZE", default: 2048, allowed: 1..=65_536 };
const BATCH: Number =
    Number { variable: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default: 512, allowed: 1..=65_536 };
const DELAY_MS: Number =
    Number { variable: "OTEL_BSP_SCHEDULE_DELAY", default: 5000, allowed: 100..=600_000 };

/// How many spans wait for their export, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// Spans in the queue; others are dropped.
    pub queue: usize,
    /// Spans in one export.
    pub batch: usize,
    /// The time between two exports.
    pub delay: Duration,
}

/// What the variables configure, and which of them are ignored.
pub fn batches(variables: Variables<'_>) -> (Batches, Vec<Ignored>) {
    let mut ignored = Vec::new();
    let mut read = |number: &Number| {
        let (value, unusable) = number.read(variables);
        ignored.extend(unusable);
        value
    };
    let queue = read(&QUEUE);
    let batch = read(&BATCH).min(queue);
    let delay = u64::try_from(read(&DELAY_MS)).map_or(Duration::MAX, Duration::from_millis);
    (Batches { queue, batch, delay }, ignored)
}

// === impl Batches ===

impl From<Batches> for BatchConfig {
    fn from(batches: Batches) -> Self {
        BatchConfigBuilder::default()
            .with_max_queue_size(batches.queue)
            .with_max_export_batch_size(batches.batch)
            .with_scheduled_delay(batches.delay)
            .build()
    }
}

// === impl Number ===

impl Number {
    /// The value of the variable, or the default if it is unusable.
    fn read(&self, variables: Variables<'_>) -> (usize, Option<Ignored>) {
        let Self { variable, default, allowed } = self;
        let Some(value) = variables(variable) else { return (*default, None) };
        match value.parse() {
            Ok(number) if allowed.contains(&number) => (number, None),
            _ => {
                let (least, most) = (allowed.start(), allowed.end());
                let expected = format!("a number from {least} to {most}; {default} is used");
                (*default, Some(Ignored::Value { variable: (*variable).into(), value, expected }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Batches = Batches { queue: 2048, batch: 512, delay: Duration::from_secs(5) };

    fn with(pairs: &[(&str, &str)]) -> (Batches, Vec<Ignored>) {
        batches(&|name: &str| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn numbers_in_range_are_used() {
        assert_eq!(with(&[]), (DEFAULT, vec![]));
        let (batches, ignored) =
            with(&[(QUEUE.variable, "100"), (BATCH.variable, "200"), (DELAY_MS.variable, "200")]);
        assert_eq!((batches.queue, batches.batch), (100, 100));
        assert_eq!((batches.delay, ignored), (Duration::from_millis(200), vec![]));
    }

    #[test]
    fn other_values_are_ignored_and_named() {
        for (variable, value) in [
            (QUEUE.variable, "0"),
            (QUEUE.variable, "1000000000000"),
            (QUEUE.variable, "18446744073709551615"),
            (BATCH.variable, "many"),
            (DELAY_MS.variable, "0"),
            (DELAY_MS.variable, "5s"),
        ] {
            let (batches, ignored) = with(&[(variable, value)]);
            assert_eq!(batches, DEFAULT, "{variable}={value}");
            let [ignored] = ignored.try_into().unwrap();
            assert!(ignored.to_string().contains(&format!("{variable} {value:?}")), "{ignored}");
        }
    }
}
