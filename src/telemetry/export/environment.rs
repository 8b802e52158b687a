//! The standard variables that the SDK does not read, or reads without reporting what it ignores.
//! The form for traces of a variable, such as `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`, takes precedence
//! over the general one.

use std::path::PathBuf;
use std::time::Duration;

use opentelemetry_otlp::Protocol;

/// Timeout of an export unless a variable sets another one: the SDK's default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A variable without which traces cannot be exported has an unusable value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The protocol is unknown.
    #[error("unknown {variable} {value:?}: set it to grpc or http/protobuf")]
    Protocol {
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
    },
    /// The endpoint is not a URL.
    #[error("invalid {variable} {value:?}: set it to a URL, such as http://collector:4317")]
    Endpoint {
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
    },
}

/// A part of a variable that is ignored: traces are exported without it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// Exporters that do not exist here.
    #[error(
        "OTEL_TRACES_EXPORTER: ignoring {0}, which this operator does not have: set it to otlp or none"
    )]
    Exporters(String),
    /// A certificate that would identify the operator to the collector.
    #[error("ignoring {0}: client certificates are not supported")]
    ClientCertificate(String),
    /// An unknown compression.
    #[error("ignoring unknown {variable} {value:?}: set it to gzip or none")]
    Compression {
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
    },
    /// Another unusable value.
    #[error("ignoring {variable} {value:?}: set it to {expected}")]
    Value {
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
        /// What would be usable, and what is used instead.
        expected: String,
    },
}

/// A file of certificates, and the variable that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// The variable.
    pub variable: String,
    /// The file.
    pub path: PathBuf,
}

/// How traces are exported over OTLP.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// The protocol.
    pub protocol: Protocol,
    /// Whether the endpoint is contacted over TLS.
    pub is_encrypted: bool,
    /// The certificate authority of the collector; `None` for the system's authorities.
    pub authority: Option<CertificateFile>,
    /// Timeout of one export.
    pub timeout: Duration,
}

/// The value of a variable; `None` if it is unset or empty.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How the variables configure the export, and what of them is ignored. `None`: traces are off.
///
/// # Errors
/// Traces are configured, but a variable that they need has an unusable value.
pub fn read(variables: Variables<'_>) -> (Result<Option<Settings>, Error>, Vec<Ignored>) {
    let mut ignored = Vec::new();
    if variables("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return (Ok(None), ignored);
    }
    let (is_selected, unknown) = exporters(&variables("OTEL_TRACES_EXPORTER").unwrap_or_default());
    ignored.extend(unknown.map(Ignored::Exporters));
    let Some(endpoint) = otlp(variables, "ENDPOINT").filter(|_| is_selected) else {
        return (Ok(None), ignored);
    };
    ignored.extend(unknown_compression(variables));
    let client_certificate = otlp(variables, "CLIENT_CERTIFICATE");
    ignored.extend(client_certificate.map(|(variable, _)| Ignored::ClientCertificate(variable)));
    (settings(variables, endpoint).map(Some), ignored)
}

/// Whether a list of exporters selects OTLP, and its unknown entries. An empty list selects it; a
/// list with `none` selects nothing.
fn exporters(list: &str) -> (bool, Option<String>) {
    let names: Vec<_> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let unknown: Vec<_> =
        names.iter().filter(|name| !["otlp", "none"].contains(name)).copied().collect();
    let is_selected = names.is_empty() || names.contains(&"otlp") && !names.contains(&"none");
    (is_selected, (!unknown.is_empty()).then(|| unknown.join(", ")))
}

fn unknown_compression(variables: Variables<'_>) -> Option<Ignored> {
    let (variable, value) = otlp(variables, "COMPRESSION")?;
    let is_known = ["gzip", "none"].iter().any(|known| value.eq_ignore_ascii_case(known));
    (!is_known).then_some(Ignored::Compression { variable, value })
}

fn settings(variables: Variables<'_>, endpoint: (String, String)) -> Result<Settings, Error> {
    let protocol = match otlp(variables, "PROTOCOL") {
        None => Protocol::Grpc,
        Some((_, value)) if value == "grpc" => Protocol::Grpc,
        Some((_, value)) if value == "http/protobuf" => Protocol::HttpBinary,
        Some((variable, value)) => return Err(Error::Protocol { variable, value }),
    };
    let is_encrypted = match (scheme(&endpoint.1), protocol) {
        // As the SDK does.
        (None, Protocol::Grpc) if is_address(&endpoint.1) => !otlp(variables, "INSECURE")
            .is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")),
        (Some(scheme), _) if is_url(&endpoint.1) => scheme == "https",
        _ => return Err(Error::Endpoint { variable: endpoint.0, value: endpoint.1 }),
    };
    let authority = otlp(variables, "CERTIFICATE")
        .map(|(variable, path)| CertificateFile { variable, path: path.into() });
    let timeout = otlp(variables, "TIMEOUT").and_then(|(_, value)| value.parse().ok());
    let timeout = timeout.map_or(TIMEOUT, Duration::from_millis);
    Ok(Settings { protocol, is_encrypted, authority, timeout })
}

/// A variable of the OTLP exporter and its value: the form for traces, otherwise the general one.
pub fn otlp(variables: Variables<'_>, name: &str) -> Option<(String, String)> {
    ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"].into_iter().find_map(|prefix| {
        let variable = format!("{prefix}{name}");
        variables(&variable).map(|value| (variable, value))
    })
}

fn is_address(endpoint: &str) -> bool {
    is_url(&format!("http://{endpoint}"))
}

fn is_url(endpoint: &str) -> bool {
    let url = reqwest::Url::parse(endpoint);
    url.is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

fn scheme(endpoint: &str) -> Option<String> {
    let (scheme, _) = endpoint.split_once("://")?;
    (!scheme.contains(['/', '?', '#'])).then(|| scheme.to_ascii_lowercase())
}

// === impl Ignored ===

impl Ignored {
    /// Without the value, which may be secret.
    pub fn hide(self) -> Self {
        match self {
            Self::Value { variable, expected, .. } => {
                Self::Value { variable, value: "***".to_owned(), expected }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    fn with(pairs: &[(&str, &str)]) -> (Result<Option<Settings>, Error>, Vec<Ignored>) {
        let value = |name: &str| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        };
        read(&value)
    }

    fn is_on(pairs: &[(&str, &str)]) -> bool {
        with(pairs).0.unwrap().is_some()
    }

    fn settings_of(pairs: &[(&str, &str)]) -> Settings {
        with(pairs).0.unwrap().unwrap()
    }

    #[test]
    fn traces_need_an_endpoint() {
        assert!(!is_on(&[]));
        assert!(!is_on(&[("OTEL_TRACES_EXPORTER", "otlp")]));
        assert!(is_on(&[ENDPOINT]));
        assert!(is_on(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4317")]));
    }

    #[test]
    fn the_standard_variables_disable_traces() {
        assert!(!is_on(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")]));
        assert!(!is_on(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]));
    }

    #[test]
    fn known_exporters_of_a_list_are_used() {
        for (list, is_selected, unknown) in [
            ("otlp,console", true, Some("console")),
            (" otlp , zipkin,jaeger", true, Some("zipkin, jaeger")),
            ("otlp,", true, None),
            ("console", false, Some("console")),
            ("otlp,none", false, None),
        ] {
            let (settings, ignored) = with(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", list)]);
            assert_eq!(settings.unwrap().is_some(), is_selected, "{list}");
            let expected = unknown.map(|names| Ignored::Exporters(names.to_owned()));
            assert_eq!(ignored, Vec::from_iter(expected), "{list}");
        }
    }

    #[test]
    fn grpc_is_the_default_protocol() {
        assert_eq!(settings_of(&[ENDPOINT]).protocol, Protocol::Grpc);
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        assert_eq!(settings_of(&[ENDPOINT, http]).protocol, Protocol::HttpBinary);
        let grpc = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc");
        assert_eq!(settings_of(&[ENDPOINT, http, grpc]).protocol, Protocol::Grpc);
    }

    #[test]
    fn the_endpoint_decides_about_tls() {
        const HTTP: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        let tls = |endpoint: &str, further: (&str, &str)| {
            settings_of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), further]).is_encrypted
        };
        let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
        assert!(!tls("http://collector:4317", HTTP) && tls("https://collector:4318", HTTP));
        assert!(!tls("http://collector:4317", ("", "")) && tls("HTTPS://collector", insecure));
        assert!(tls("collector:4317", ("", "")) && !tls("collector:4317", insecure));
    }

    #[test]
    fn an_error_names_the_variable_and_its_value() {
        let error = |pairs: &[(&str, &str)]| with(pairs).0.unwrap_err().to_string();
        let text = error(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json")]);
        assert!(text.contains("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL \"http/json\""), "{text}");
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        let text = error(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"), http]);
        assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT \"collector:4318\""), "{text}");
    }

    #[test]
    fn an_endpoint_that_is_no_url_is_an_error() {
        for endpoint in
            ["ftp://x:1", "http://x:99999", "not a url", "http://", "http://[::1", "x:y"]
        {
            let error =
                with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).0.unwrap_err().to_string();
            assert!(error.contains(&format!("{endpoint:?}")), "{error}");
        }
    }

    #[test]
    fn an_unknown_compression_is_ignored() {
        let compression = |value| with(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_COMPRESSION", value)]).1;
        assert_eq!(compression("gzip"), []);
        assert_eq!(compression("none"), []);
        let [ignored] = compression("zstd").try_into().unwrap();
        assert!(ignored.to_string().contains("OTEL_EXPORTER_OTLP_COMPRESSION \"zstd\""));
    }

    #[test]
    fn a_client_certificate_is_ignored() {
        let variable = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
        let ignored = with(&[ENDPOINT, (variable, "/client.pem")]).1;
        assert_eq!(ignored, [Ignored::ClientCertificate(variable.to_owned())]);
    }

    #[test]
    fn certificate_and_timeout_are_read() {
        let settings = settings_of(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/general.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/traces.pem"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ]);
        let authority = settings.authority.unwrap();
        assert_eq!(authority.path, PathBuf::from("/traces.pem"));
        assert_eq!(settings.timeout, Duration::from_millis(1500));
        assert_eq!(settings_of(&[ENDPOINT]).timeout, TIMEOUT);
    }
}
