//! Variables that the SDK reads, and whose unusable values it ignores without a report.

use crate::telemetry::export::environment::Ignored;
use crate::telemetry::export::environment::Variables;
use crate::telemetry::export::environment::otlp;

const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// The unusable values. Those of headers are not repeated: they may be secret.
pub fn unreported(variables: Variables<'_>) -> Vec<Ignored> {
    let of = |name: &str| variables(name).map(|value| (name.to_owned(), value));
    let sampler = of(SAMPLER);
    let has_ratio = sampler.as_ref().is_some_and(|(_, name)| name.ends_with("traceidratio"));
    let checks = [
        unless(sampler, |name| SAMPLERS.contains(&name), &SAMPLERS.join(", ")),
        unless(of(SAMPLER_ARGUMENT).filter(|_| has_ratio), is_ratio, "a number from 0 to 1"),
        unless(otlp(variables, "TIMEOUT"), is_number, "a number of milliseconds"),
        unless(of(RESOURCE_ATTRIBUTES), are_pairs, "key=value,key=value"),
        unless(otlp(variables, "HEADERS"), are_pairs, "key=value,key=value").map(Ignored::hide),
    ];
    checks.into_iter().flatten().collect()
}

/// That the value of the variable is not as expected, if `is_usable` says so.
fn unless(
    variable: Option<(String, String)>,
    is_usable: impl FnOnce(&str) -> bool,
    expected: &str,
) -> Option<Ignored> {
    let (variable, value) = variable?;
    let expected = expected.to_owned();
    (!is_usable(&value)).then_some(Ignored::Value { variable, value, expected })
}

fn is_ratio(value: &str) -> bool {
    value.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio))
}

fn is_number(value: &str) -> bool {
    value.parse::<u64>().is_ok()
}

fn are_pairs(list: &str) -> bool {
    let mut pairs = list.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs.all(|pair| pair.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Vec<String> {
        let value = |name: &str| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        };
        unreported(&value).into_iter().map(|ignored| ignored.to_string()).collect()
    }

    #[test]
    fn usable_values_are_not_reported() {
        let usable = [
            (SAMPLER, "parentbased_traceidratio"),
            (SAMPLER_ARGUMENT, "0.25"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20eA==, x-scope=a"),
            (RESOURCE_ATTRIBUTES, "k8s.cluster.name=c1,"),
        ];
        assert_eq!(with(&usable), Vec::<String>::new());
        assert_eq!(with(&[(SAMPLER_ARGUMENT, "unused")]), Vec::<String>::new());
    }

    #[test]
    fn each_unusable_value_is_reported() {
        for (pairs, expected) in [
            (&[(SAMPLER, "sometimes")][..], "OTEL_TRACES_SAMPLER \"sometimes\""),
            (
                &[(SAMPLER, "traceidratio"), (SAMPLER_ARGUMENT, "ten")],
                "OTEL_TRACES_SAMPLER_ARG \"ten\"",
            ),
            (&[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")], "OTEL_EXPORTER_OTLP_TIMEOUT \"10s\""),
            (&[(RESOURCE_ATTRIBUTES, "a=b,c")], "OTEL_RESOURCE_ATTRIBUTES \"a=b,c\""),
        ] {
            let [reported] = with(pairs).try_into().unwrap();
            assert!(reported.contains(expected), "{reported}");
        }
    }

    #[test]
    fn headers_are_reported_without_their_values() {
        let [reported] =
            with(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization secret")]).try_into().unwrap();
        assert!(reported.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{reported}");
        assert!(!reported.contains("secret"), "{reported}");
    }
}
