//! The OTLP exporter, configured by the standard environment variables.
//!
//! The SDK reads endpoint, headers, timeouts and sampler. It does not read `OTEL_SDK_DISABLED` and
//! `OTEL_TRACES_EXPORTER`, and its default protocol is HTTP: these are read here, with gRPC as the
//! default.

use std::env;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_otlp::Protocol;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::BatchSpanProcessor;
use opentelemetry_sdk::trace::SdkTracer;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::names;
use crate::telemetry::idle_traces::WithoutIdleTraces;

/// An `OTEL_*` variable has a value that is not supported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The protocol is unknown.
    #[error("unknown OTEL_EXPORTER_OTLP_PROTOCOL {0:?}: set it to grpc or http/protobuf")]
    Protocol(String),
    /// The exporter is unknown.
    #[error("unknown OTEL_TRACES_EXPORTER {0:?}: set it to otlp or none")]
    Exporter(String),
    /// The exporter could not be built.
    #[error("cannot build the exporter")]
    Build(#[from] ExporterBuildError),
}

/// The tracer provider that the environment configures; `None` if tracing is off.
///
/// # Errors
/// A variable has a value that is not supported, or the exporter could not be built.
pub fn provider() -> Result<Option<SdkTracerProvider>, Error> {
    if !is_enabled(variable)? {
        return Ok(None);
    }
    let exporter = match protocol(variable)? {
        Protocol::Grpc => SpanExporter::builder().with_tonic().build()?,
        other => SpanExporter::builder().with_http().with_protocol(other).build()?,
    };
    let service = variable("OTEL_SERVICE_NAME").unwrap_or_else(|| names::SERVICE_NAME.to_owned());
    let resource = Resource::builder().with_service_name(service).build();
    let processor = WithoutIdleTraces::new(BatchSpanProcessor::builder(exporter).build());
    let provider = SdkTracerProvider::builder().with_span_processor(processor);
    Ok(Some(provider.with_resource(resource).build()))
}

/// The operator's tracer.
pub fn tracer(provider: &SdkTracerProvider) -> SdkTracer {
    provider.tracer(names::SERVICE_NAME)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_enabled(variable: impl Fn(&str) -> Option<String>) -> Result<bool, Error> {
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    match variable("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(false),
        Some(other) => return Err(Error::Exporter(other.to_owned())),
    }
    let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    Ok(endpoints.into_iter().any(|name| variable(name).is_some()))
}

fn protocol(variable: impl Fn(&str) -> Option<String>) -> Result<Protocol, Error> {
    let protocol = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        .or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match protocol.as_deref() {
        None | Some("grpc") => Ok(Protocol::Grpc),
        Some("http/protobuf") => Ok(Protocol::HttpBinary),
        Some(other) => Err(Error::Protocol(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    #[test]
    fn traces_need_an_endpoint() {
        assert!(!is_enabled(set(&[])).unwrap());
        assert!(is_enabled(set(&[ENDPOINT])).unwrap());
    }

    #[test]
    fn the_standard_variables_disable_traces() {
        assert!(!is_enabled(set(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")])).unwrap());
        assert!(!is_enabled(set(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")])).unwrap());
    }

    #[test]
    fn grpc_is_the_default_protocol() {
        assert_eq!(protocol(set(&[])).unwrap(), Protocol::Grpc);
        let http = set(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]);
        assert_eq!(protocol(http).unwrap(), Protocol::HttpBinary);
    }

    #[test]
    fn an_error_names_the_unknown_value() {
        let unknown = set(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]);
        assert!(protocol(unknown).unwrap_err().to_string().contains("http/json"));
        assert!(is_enabled(set(&[("OTEL_TRACES_EXPORTER", "zipkin")])).is_err());
    }
}
