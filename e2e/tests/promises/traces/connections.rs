//! How traces reach a collector: over TLS with a private certificate authority, compressed, and with the
//! identity of the pod that sent them. Settings that cannot be used cost traces, never the operator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;

use serde_json::Value;
use testbed::accounts::OPERATOR;
use testbed::certificates::Authority;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Trace;
use testbed::run_folder::RunFolder;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Mutex;

use crate::traces::support::create_copy;
use crate::traces::support::environment;
use crate::traces::support::last_trace_id;
use crate::traces::support::traced_cluster;
use crate::traces::support::wait_trace;

/// The begin of a gzip stream: its magic number, "deflate", and no optional fields.
const GZIP: [u8; 4] = [0x1f, 0x8b, 8, 0];
/// Attributes that describe the code instead of the reconcile.
const ABOUT_CODE: [&str; 8] = [
    "busy_ns",
    "idle_ns",
    "target",
    "code.file.path",
    "code.line.number",
    "code.module.name",
    "thread.id",
    "thread.name",
];

/// Creates a copy with the only operator of `cluster`, and returns its trace from Jaeger.
async fn trace_of_create(cluster: &OperatorCluster, jaeger: &Jaeger) -> Result<Trace> {
    let (_, sync) = create_copy(cluster).await?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    wait_trace(jaeger, id, Trace::shows_creation).await
}

/// The attributes of the resource that sent a trace, from Jaeger. The trace must have one sender.
fn resource(trace: &Trace) -> Result<BTreeMap<String, String>> {
    let mut processes = trace.processes.values();
    let process = processes.next().context("a trace without a process")?;
    ensure!(processes.next().is_none(), "several processes: {:?}", trace.processes);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let tags = process.tags.iter().map(|tag| (tag.key.clone(), text(&tag.value)));
    let name = ("service.name".to_owned(), process.service_name.clone());
    Ok(tags.chain([name]).collect())
}

#[tokio::test]
async fn a_trace_names_the_pod_that_sent_it() -> Result<()> {
    let (jaeger, mut cluster) = traced_cluster().await?;
    let trace = trace_of_create(&cluster, &jaeger).await?;
    let resource = resource(&trace)?;
    let pod = cluster.replica()?.pod();
    for (name, expected) in [
        ("service.name", "configmapsync"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", pod.uid.as_str()),
        ("k8s.pod.name", &pod.name),
        ("k8s.pod.uid", &pod.uid),
        ("k8s.namespace.name", OPERATOR),
    ] {
        let value = resource.get(name).map(String::as_str);
        ensure!(value == Some(expected), "{name} is {value:?}, not {expected}: {resource:?}");
    }
    Ok(())
}

#[tokio::test]
async fn spans_have_no_attributes_about_code() -> Result<()> {
    let (jaeger, cluster) = traced_cluster().await?;
    for span in trace_of_create(&cluster, &jaeger).await?.spans {
        let about_code: Vec<_> =
            span.tags.iter().filter(|tag| ABOUT_CODE.contains(&tag.key.as_str())).collect();
        ensure!(about_code.is_empty(), "{} has {about_code:?}", span.name);
    }
    Ok(())
}

#[tokio::test]
async fn the_environment_decides_the_resource() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let attributes = "service.name=by-attribute,service.version=v7,k8s.cluster.name=c1";
    let (attributes, name) =
        (("OTEL_RESOURCE_ATTRIBUTES", attributes), ("OTEL_SERVICE_NAME", "by-name"));
    let cases: [(&[_], _); 2] = [(&[attributes], "by-attribute"), (&[attributes, name], "by-name")];
    for (variables, service) in cases {
        let options = environment(&jaeger.otlp_grpc(), variables);
        let cluster = OperatorCluster::start_with(1, options).await?;
        let resource = resource(&trace_of_create(&cluster, &jaeger).await?)?;
        for (name, expected) in
            [("service.name", service), ("service.version", "v7"), ("k8s.cluster.name", "c1")]
        {
            let value = resource.get(name).map(String::as_str);
            ensure!(value == Some(expected), "{name} is {value:?}, not {expected}: {resource:?}");
        }
    }
    Ok(())
}

/// Fails unless a trace reaches a collector whose certificate is issued by a private authority. The
/// variables get the path of the authority's certificate, and gzip.
async fn ensure_tls(
    endpoint: impl Fn(&Jaeger) -> String,
    [protocol, certificate, compression]: [(&str, &str); 3],
) -> Result<()> {
    let folder = RunFolder::create()?;
    let authority = Authority::create(folder.path().join("certificates"))?;
    let server = authority.issue_server("collector", &["127.0.0.1".to_owned()])?;
    let jaeger = Jaeger::start_local_with_tls(&server).await?;
    let path = authority.certificate().display().to_string();
    let variables = [protocol, (certificate.0, &path), compression];
    let cluster =
        OperatorCluster::start_with(1, environment(&endpoint(&jaeger), &variables)).await?;
    trace_of_create(&cluster, &jaeger).await?;
    Ok(())
}

#[tokio::test]
async fn grpc_trusts_a_private_authority_and_compresses() -> Result<()> {
    let variables = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", ""),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    ensure_tls(Jaeger::otlp_grpc, variables).await
}

#[tokio::test]
async fn http_trusts_a_private_authority_and_compresses() -> Result<()> {
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", ""),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
    ];
    ensure_tls(Jaeger::otlp_http, variables).await
}

/// Forwards connections to a collector, and records what is sent to it.
struct Recorder {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Recorder {
    async fn open(collector: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let sent = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&collector).await else { return };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let ignored = Arc::default();
                tokio::spawn(forward(from_client, to_server, Arc::clone(&recorded)));
                tokio::spawn(forward(from_server, to_client, ignored));
            }
        });
        Ok(Self { address, sent, task })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, sent: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let Some(read) = buffer.get(..length) else { return };
        sent.lock().await.extend_from_slice(read);
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Fails unless a trace reaches the collector, with gzip and without a span in plain text.
async fn ensure_compressed(endpoint: impl Fn(&Jaeger) -> String, protocol: &str) -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let collector = endpoint(&jaeger).trim_start_matches("http://").to_owned();
    let recorder = Recorder::open(collector).await?;
    let variables =
        [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    let options = environment(&format!("http://{}", recorder.address), &variables);
    let cluster = OperatorCluster::start_with(1, options).await?;
    trace_of_create(&cluster, &jaeger).await?;
    let sent = recorder.sent.lock().await;
    ensure!(!contains(&sent, b"create copy"), "{protocol}: a span was sent in plain text");
    ensure!(contains(&sent, &GZIP), "{protocol}: nothing was compressed with gzip");
    Ok(())
}

#[tokio::test]
async fn spans_are_compressed_over_both_protocols() -> Result<()> {
    ensure_compressed(Jaeger::otlp_grpc, "grpc").await?;
    ensure_compressed(Jaeger::otlp_http, "http/protobuf").await
}

#[tokio::test]
async fn an_exporter_list_is_used_as_far_as_known() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let list = [("OTEL_TRACES_EXPORTER", "otlp,console,zipkin")];
    let options = environment(&jaeger.otlp_grpc(), &list);
    let cluster = OperatorCluster::start_with(1, options).await?;
    trace_of_create(&cluster, &jaeger).await?;
    ensure_one_warning(&cluster.replicas[0], &["OTEL_TRACES_EXPORTER", "console", "zipkin"])
}

/// Fails unless the replica has logged exactly one warning about traces, with all `words`.
fn ensure_one_warning(replica: &Replica, words: &[&str]) -> Result<()> {
    let is_ours = |line: &Value| {
        let target = line["target"].as_str().unwrap_or_default();
        line["level"] == "WARN" && target.starts_with("configmapsync::telemetry")
    };
    let warnings: Vec<_> = replica.logs().into_iter().filter(is_ours).collect();
    ensure!(warnings.len() == 1, "expected one warning with {words:?}: {:?}", replica.logs());
    let text = warnings[0].to_string();
    for word in words {
        ensure!(text.contains(word), "no {word} in: {text}");
    }
    Ok(())
}

/// An endpoint, further variables, and words of the warning about them.
type Unusable<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

/// Settings of which no exporter can be built, each with words of the warning.
fn unusable(no_file: &str, no_certificate: &str) -> Vec<(Options, Vec<String>)> {
    const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
    const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    const HTTP: (&str, &str) = (PROTOCOL, "http/protobuf");
    let tls = "https://127.0.0.1:1";
    let cases: [Unusable<'_>; 6] = [
        ("http://127.0.0.1:1", &[(PROTOCOL, "pigeon")], &[PROTOCOL, "pigeon", "grpc"]),
        ("not a url", &[], &["OTEL_EXPORTER_OTLP_ENDPOINT", "not a url"]),
        ("127.0.0.1:4318", &[HTTP], &["OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"]),
        (tls, &[(CERTIFICATE, no_file)], &[CERTIFICATE, no_file, "No such file"]),
        (tls, &[(CERTIFICATE, no_certificate)], &[CERTIFICATE, no_certificate]),
        (tls, &[(CERTIFICATE, no_certificate), HTTP], &[CERTIFICATE, no_certificate]),
    ];
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let case = |(endpoint, further, words)| (environment(endpoint, further), owned(words));
    cases.into_iter().map(case).collect()
}

#[tokio::test]
async fn an_exporter_that_cannot_be_built_costs_traces() -> Result<()> {
    let mut cluster = OperatorCluster::start(0).await?;
    let path = |name: &str| cluster.control_plane.folder().join(name);
    let (no_file, no_certificate) = (path("missing.pem"), path("no-certificate.pem"));
    std::fs::write(&no_certificate, "not a certificate\n")?;
    let text = |path: &Path| path.display().to_string();
    for (index, (options, words)) in
        unusable(&text(&no_file), &text(&no_certificate)).into_iter().enumerate()
    {
        let name = format!("untraced-{index}");
        let replica = Replica::start(&cluster.control_plane, &name, &options).await?;
        replica.wait_ready().await?;
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        ensure_one_warning(&replica, &words)?;
        cluster.replicas.push(replica);
        if index > 0 {
            cluster.replicas.remove(0).terminate_and_wait().await?;
        }
    }
    let (_, sync) = create_copy(&cluster).await?;
    ensure!(last_trace_id(&sync).is_none(), "{:?}", sync.status);
    Ok(())
}
