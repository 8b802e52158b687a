//! The audit log while requests are incomplete.

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

/// Longer than marking the log takes without incomplete requests.
const LONGER_THAN_A_MARK: Duration = Duration::from_secs(1);
/// How long a mark waits for incomplete requests.
const MARK_TIMEOUT: Duration = Duration::from_secs(5);
const PATCH: &str = r#"{"data":{"k":"2"}}"#;

/// A write of the operator whose body is not sent yet: the API server waits for it.
struct Unfinished(TlsStream<TcpStream>);

impl Unfinished {
    /// Sends the head of a patch of `default/a`, and waits until the API server has received it.
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
        until("the audit log contains the received patch", SOON, || async {
            let log = fs::read(control_plane.folder().join("audit.log"))?;
            // The file may end in the middle of a character.
            let log = String::from_utf8_lossy(&log);
            let is_received =
                |line: &str| line.contains("RequestReceived") && line.contains("patch");
            Ok(Seen::from_bool(log.lines().any(is_received), || "no such line".to_owned()))
        })
        .await?;
        Ok(Self(stream))
    }

    async fn finish(mut self) -> Result<()> {
        self.0.write_all(PATCH.as_bytes()).await?;
        self.0.flush().await?;
        let mut response = Vec::new();
        self.0.read_to_end(&mut response).await?;
        let response = String::from_utf8_lossy(&response);
        ensure!(response.starts_with("HTTP/1.1 200 "), "{response}");
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
    let host = server.host().context("the API server's URL has no host")?.to_owned();
    let stream = TcpStream::connect((
        host.as_str(),
        server.port_u16().context("the API server's URL has no port")?,
    ))
    .await?;
    Ok(TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from(host)?, stream).await?)
}

async fn control_plane() -> Result<ControlPlane> {
    let control_plane = ControlPlane::start().await?;
    let fixture = Fixture::new(control_plane.client());
    fixture.create_config_map("default", "a", &[("k", "1")]).await?;
    Ok(control_plane)
}

/// Marks the log, and measures how long that takes.
async fn timed_mark(audit: &AuditLog) -> Result<(Duration, Mark)> {
    let begin = Instant::now();
    let mark = audit.mark().await?;
    Ok((begin.elapsed(), mark))
}

fn stages(events: &[Event]) -> Vec<&str> {
    writes_by_operator(events).iter().map(|event| event.stage.as_str()).collect()
}

#[tokio::test]
async fn requests_received_before_a_mark_are_reported_before_it() -> Result<()> {
    let control_plane = control_plane().await?;
    let audit = control_plane.audit();
    let before = audit.mark().await?;
    let write = Unfinished::begin(&control_plane).await?;
    // Other clones than before: each tracks the incomplete requests itself.
    let (marking, reading) = (control_plane.audit(), control_plane.audit());
    let mut mark = pin!(marking.mark());
    let mut since = pin!(reading.since(before));
    ensure!(
        timeout(LONGER_THAN_A_MARK, mark.as_mut()).await.is_err(),
        "the mark did not wait for the write"
    );
    ensure!(
        timeout(LONGER_THAN_A_MARK, since.as_mut()).await.is_err(),
        "the events were returned without the write"
    );
    write.finish().await?;
    let (mark, events) = (mark.await?, since.await?);
    ensure!(stages(&events) == ["ResponseComplete"], "{events:#?}");
    let later = audit.since(mark).await?;
    ensure!(stages(&later).is_empty(), "{later:#?}");
    Ok(())
}

#[tokio::test]
async fn a_request_without_an_end_is_waited_for_once() -> Result<()> {
    let mut control_plane = control_plane().await?;
    let write = Unfinished::begin(&control_plane).await?;
    control_plane.restart_api_server().await?;
    drop(write);
    let audit = control_plane.audit();
    let (first, mark) = timed_mark(&audit).await?;
    ensure!(first >= MARK_TIMEOUT, "the first mark waited only {first:?}");
    // The machine may stall during one of them.
    let mut others = [Duration::ZERO; 3];
    for other in &mut others {
        *other = timed_mark(&audit).await?.0;
    }
    ensure!(
        others.iter().any(|other| *other < MARK_TIMEOUT),
        "later marks waited again: {others:?}"
    );
    let later = audit.since(mark).await?;
    ensure!(stages(&later).is_empty(), "{later:#?}");
    Ok(())
}
