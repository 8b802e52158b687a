//! The OTLP exporter, configured by the standard environment variables.
//!
//! The SDK reads endpoint, headers, compression, sampler and resource; `unreported` checks what it would
//! ignore without a report. The module `environment` reads what the SDK does not: `OTEL_SDK_DISABLED`,
//! `OTEL_TRACES_EXPORTER`, certificates, and the protocol, whose default is gRPC here. `batches` limits
//! the queue.

mod batches;
mod environment;
mod roots;
mod unreported;

use std::env;
use std::thread;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_otlp::Protocol;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_otlp::WithHttpConfig as _;
use opentelemetry_otlp::WithTonicConfig as _;
use opentelemetry_sdk::trace::BatchSpanProcessor;
use opentelemetry_sdk::trace::SdkTracer;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::names;
use crate::telemetry::export::batches::batches;
use crate::telemetry::export::environment::Settings;
use crate::telemetry::export::roots::Authority;
use crate::telemetry::export::roots::Roots;
use crate::telemetry::export::unreported::unreported;
use crate::telemetry::idle_traces::WithoutIdleTraces;
use crate::telemetry::resource::Pod;
use crate::telemetry::resource::resource;

/// No exporter could be built.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// A variable has an unusable value.
    #[error(transparent)]
    Environment(#[from] environment::Error),
    /// The certificates of the collector's authority are unusable.
    #[error(transparent)]
    Certificates(#[from] roots::Error),
    /// The HTTP client could not be built.
    #[error("cannot build the HTTP client of the trace exporter: correct the OTEL_* variables")]
    Client(#[from] reqwest::Error),
    /// The thread that builds the HTTP client failed.
    #[error("cannot build the HTTP client of the trace exporter: its thread failed")]
    Thread,
    /// The exporter could not be built.
    #[error("cannot build the trace exporter: correct the OTEL_* variables")]
    Build(#[from] ExporterBuildError),
}

/// Traces are configured, and none are exported.
#[derive(Debug, thiserror::Error)]
#[error("no traces are exported")]
struct NotExported(#[source] Error);

/// What the environment configures.
#[derive(Debug)]
pub struct Traces {
    /// Exports spans; `None` if traces are off.
    pub provider: Option<SdkTracerProvider>,
    /// What could not be used, to be logged as warnings.
    pub warnings: Vec<Box<dyn std::error::Error>>,
}

/// The exporter that the environment configures. What cannot be used is a warning, so that the
/// operator starts without traces. Must be called within a Tokio runtime.
pub fn traces(pod: Pod<'_>) -> Traces {
    let (settings, ignored) = environment::read(&variable);
    let exporter = match settings {
        Ok(None) => Ok(None),
        Ok(Some(settings)) => exporter(&settings).map(Some),
        Err(error) => Err(error.into()),
    };
    let mut warnings: Vec<_> = ignored.into_iter().map(Into::into).collect();
    let exporter = exporter.unwrap_or_else(|error| {
        warnings.push(NotExported(error).into());
        None
    });
    let provider = exporter.map(|exporter| {
        let (batches, ignored) = batches(&variable);
        let ignored = ignored.into_iter().chain(unreported(&variable));
        warnings.extend(ignored.map(Into::into));
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.into());
        let processor = WithoutIdleTraces::new(processor.build());
        let resource = resource(pod, variable("OTEL_SERVICE_NAME"));
        SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build()
    });
    Traces { provider, warnings }
}

/// The operator's tracer.
pub fn tracer(provider: &SdkTracerProvider) -> SdkTracer {
    provider.tracer(names::SERVICE_NAME)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn exporter(settings: &Settings) -> Result<SpanExporter, Error> {
    let roots = match &settings.authority {
        // Without TLS, nothing needs to be trusted, and the system may have no certificates.
        _ if !settings.is_encrypted => Roots::Only(Authority::default()),
        Some(file) => Roots::Only(Authority::read(file)?),
        None => Roots::System,
    };
    let exporter = match settings.protocol {
        Protocol::Grpc if settings.is_encrypted => {
            SpanExporter::builder().with_tonic().with_tls_config(roots.grpc()).build()?
        }
        Protocol::Grpc => SpanExporter::builder().with_tonic().build()?,
        other => {
            let client = http_client(settings, &roots)?;
            SpanExporter::builder()
                .with_http()
                .with_protocol(other)
                .with_http_client(client)
                .build()?
        }
    };
    Ok(exporter)
}

/// A blocking client: exports run on a thread without a Tokio runtime.
fn http_client(settings: &Settings, roots: &Roots) -> Result<reqwest::blocking::Client, Error> {
    // The HTTP client uses the provider of the process. An error means that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::blocking::Client::builder().timeout(settings.timeout);
    // A redirect would send the headers, which may be secret, elsewhere.
    let builder = builder.redirect(reqwest::redirect::Policy::none());
    let builder = roots.http(builder)?;
    // Within a runtime, a blocking client cannot be built.
    let client = thread::spawn(move || builder.build()).join().map_err(|_| Error::Thread)?;
    Ok(client?)
}
