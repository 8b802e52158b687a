//! What the audit log tells of requests that the API server has not ended yet.

use std::fs;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use http::Uri;
use kube::client::ConfigExt as _;
use testbed::accounts::OPERATOR_USER;
use testbed::audit::AuditLog;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::control_plane::ControlPlane;
use testbed::kubeconfig;
use testbed::kubeconfig::Credential;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

/// Longer than it takes to mark the log if nothing is open.
const A_WHILE: Duration = Duration::from_secs(1);
/// How long a mark waits for what is open.
const PATIENCE: Duration = Duration::from_secs(5);
const PATCH: &str = r#"{"data":{"k":"2"}}"#;

/// A write of the operator whose end is not sent yet: the API server waits for it.
struct Unfinished(TlsStream<TcpStream>);

impl Unfinished {
    /// Patches `default/a`, but for what to change.
    async fn begin(control_plane: &ControlPlane) -> Result<Self> {
        let mut stream = connect(control_plane).await?;
        let head = format!(
            "PATCH /api/v1/namespaces/default/configmaps/a HTTP/1.1\r\n\
             Host: kubernetes\r\n\
             Content-Type: application/merge-patch+json\r\n\
             Content-Length: {}\r\n\
             Connection: close\r\n\r\n",
            PATCH.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        until("the API server has received it", SOON, || async {
            let log = fs::read(control_plane.folder().join("audit.log"))?;
            // It may end in the middle of a character.
            let log = String::from_utf8_lossy(&log);
            let is_it = |line: &str| line.contains("RequestReceived") && line.contains("patch");
            Ok(Seen::from_bool(log.lines().any(is_it), || "no such line".to_owned()))
        })
        .await?;
        Ok(Self(stream))
    }

    async fn finish(mut self) -> Result<()> {
        self.0.write_all(PATCH.as_bytes()).await?;
        self.0.flush().await?;
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        Ok(())
    }
}

async fn connect(control_plane: &ControlPlane) -> Result<TlsStream<TcpStream>> {
    let authority = control_plane.authority();
    let files = authority.issue_client("operator", OPERATOR_USER, &["system:masters"])?;
    let file = control_plane.folder().join("operator.kubeconfig");
    fs::write(&file, control_plane.kubeconfig_for(&Credential::Certificate(files))?)?;
    let mut tls = kubeconfig::config(&file).await?.rustls_client_config()?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let server: Uri = control_plane.server().parse()?;
    let host = server.host().context("no host")?.to_owned();
    let stream = TcpStream::connect((host.as_str(), server.port_u16().context("no port")?)).await?;
    Ok(TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from(host)?, stream).await?)
}

async fn control_plane() -> Result<ControlPlane> {
    let control_plane = ControlPlane::start().await?;
    let fixture = Fixture::new(control_plane.client());
    fixture.create_config_map("default", "a", &[("k", "1")]).await?;
    Ok(control_plane)
}

/// A mark, and how long it took.
async fn timed_mark(audit: &AuditLog) -> Result<(Duration, Mark)> {
    let begin = Instant::now();
    let mark = audit.mark().await?;
    Ok((begin.elapsed(), mark))
}

fn stages(events: &[Event]) -> Vec<&str> {
    writes_by_operator(events).iter().map(|event| event.stage.as_str()).collect()
}

#[tokio::test]
async fn what_was_received_before_a_mark_is_told_before_it() -> Result<()> {
    let control_plane = control_plane().await?;
    let audit = control_plane.audit();
    let before = audit.mark().await?;
    let write = Unfinished::begin(&control_plane).await?;
    // Not the clone that was there before: what is open is known to each.
    let (again, asked) = (control_plane.audit(), control_plane.audit());
    let mut mark = pin!(again.mark());
    let mut since = pin!(asked.since(before));
    ensure!(timeout(A_WHILE, mark.as_mut()).await.is_err(), "marked before the write");
    ensure!(timeout(A_WHILE, since.as_mut()).await.is_err(), "told without the write");
    write.finish().await?;
    let (mark, told) = (mark.await?, since.await?);
    ensure!(stages(&told) == ["ResponseComplete"], "{told:#?}");
    let later = audit.since(mark).await?;
    ensure!(stages(&later).is_empty(), "{later:#?}");
    Ok(())
}

#[tokio::test]
async fn what_never_ends_is_waited_for_once() -> Result<()> {
    let mut control_plane = control_plane().await?;
    let write = Unfinished::begin(&control_plane).await?;
    control_plane.restart_api_server().await?;
    drop(write);
    let audit = control_plane.audit();
    let (first, mark) = timed_mark(&audit).await?;
    ensure!(first >= PATIENCE, "given up after {first:?}");
    // The machine may stand still during one of them.
    let mut others = [Duration::ZERO; 3];
    for other in &mut others {
        *other = timed_mark(&audit).await?.0;
    }
    ensure!(others.iter().any(|other| *other < PATIENCE), "waited again: {others:?}");
    let later = audit.since(mark).await?;
    ensure!(stages(&later).is_empty(), "{later:#?}");
    Ok(())
}
