//! Where spans go: OTLP, as the standard environment variables say.
//!
//! The SDK reads endpoint, headers, timeouts and sampler by itself. It does not read
//! `OTEL_SDK_DISABLED` and `OTEL_TRACES_EXPORTER`, and it would prefer HTTP: the specification's
//! names are kept here, with gRPC as the default.

use std::env;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_otlp::Protocol;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracer;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::names;

/// An `OTEL_*` variable asks for what cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The protocol is unknown.
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL is {0:?}: set it to grpc or http/protobuf")]
    Protocol(String),
    /// The exporter is unknown.
    #[error("OTEL_TRACES_EXPORTER is {0:?}: set it to otlp or none")]
    Exporter(String),
    /// The exporter could not be built.
    #[error("the exporter cannot be built")]
    Build(#[from] ExporterBuildError),
}

/// The provider of tracers that the environment asks for; `None` if it asks for none.
pub fn provider() -> Result<Option<SdkTracerProvider>, Error> {
    if !is_wanted(variable)? {
        return Ok(None);
    }
    let exporter = match protocol(variable)? {
        Protocol::Grpc => SpanExporter::builder().with_tonic().build()?,
        other => SpanExporter::builder().with_http().with_protocol(other).build()?,
    };
    let service = variable("OTEL_SERVICE_NAME").unwrap_or_else(|| names::SERVICE_NAME.to_owned());
    let resource = Resource::builder().with_service_name(service).build();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    Ok(Some(provider))
}

/// Our tracer.
pub fn tracer(provider: &SdkTracerProvider) -> SdkTracer {
    provider.tracer(names::SERVICE_NAME)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> Result<bool, Error> {
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
    fn without_an_endpoint_there_are_no_traces() {
        assert!(!is_wanted(set(&[])).unwrap());
        assert!(is_wanted(set(&[ENDPOINT])).unwrap());
    }

    #[test]
    fn traces_can_be_switched_off_by_the_standard_variables() {
        assert!(!is_wanted(set(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")])).unwrap());
        assert!(!is_wanted(set(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")])).unwrap());
    }

    #[test]
    fn grpc_is_the_default_protocol() {
        assert_eq!(protocol(set(&[])).unwrap(), Protocol::Grpc);
        let http = set(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]);
        assert_eq!(protocol(http).unwrap(), Protocol::HttpBinary);
    }

    #[test]
    fn an_unknown_value_is_named() {
        let carrier_pigeon = set(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon")]);
        assert!(protocol(carrier_pigeon).unwrap_err().to_string().contains("pigeon"));
        assert!(is_wanted(set(&[("OTEL_TRACES_EXPORTER", "zipkin")])).is_err());
    }
}
