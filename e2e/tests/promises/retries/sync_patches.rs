//! A patch of a ConfigMapSync that is rejected as if the ConfigMapSync had changed, although it has
//! not, backs off.

use std::time::Duration;

use anyhow::Result;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;

use crate::retries::support::ensure_backoff;
use crate::retries::support::wait_requests;

/// Attempts to wait for, after 0, 1, 3 and 7 s, less jitter.
const ATTEMPTS: usize = 4;
/// The delay has grown to at most 30 seconds when the cause disappears.
const RETRIED: Duration = Duration::from_secs(45);
const CODES: [u16; 3] = [404, 409, 410];

fn is_patch_of(request: &Request, path: &str) -> bool {
    request.method == Method::PATCH && request.path.ends_with(path)
}

/// Creates the ConfigMapSync `name`, whose copies have this name too.
async fn create_sync(fixture: &Fixture, name: &str) -> Result<()> {
    let mut spec = one_to_one("central", "shared", "app");
    spec.destination_name = Some(name.to_owned());
    fixture.create_sync("central", name, spec).await?;
    Ok(())
}

/// Rejects the patches of one ConfigMapSync for each code: `path` is the end of the path, after its
/// name.
async fn rejections_back_off(path: &'static str) -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for code in CODES {
        let patched = format!("/configmapsyncs/sync-{code}{path}");
        let rejected = Fault::Respond(CannedResponse::failure(code));
        proxy.add(Rule::new(rejected).when(move |it| is_patch_of(it, &patched)).always());
        create_sync(&fixture, &format!("sync-{code}")).await?;
    }
    for code in CODES {
        let patched = format!("/configmapsyncs/sync-{code}{path}");
        let is_patch = |request: &Request| is_patch_of(request, &patched);
        let what = format!("patch {patched}");
        let attempts = wait_requests(&proxy, &what, ATTEMPTS, SOON, is_patch).await?;
        ensure_backoff(&attempts[..ATTEMPTS], Duration::ZERO)?;
        if path.is_empty() {
            fixture.wait_reason("central", &format!("sync-{code}"), "ApiError", SOON).await?;
        }
    }
    proxy.clear();
    for code in CODES {
        fixture.wait_reason("central", &format!("sync-{code}"), "Synced", RETRIED).await?;
    }
    Ok(())
}

#[tokio::test]
async fn rejected_patches_of_a_finalizer_back_off() -> Result<()> {
    rejections_back_off("").await
}

#[tokio::test]
async fn rejected_patches_of_a_status_back_off() -> Result<()> {
    rejections_back_off("/status").await
}
