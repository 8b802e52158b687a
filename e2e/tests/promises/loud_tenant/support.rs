//! Large sources, and the time that changes of the sources of another tenant take.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

/// The time within which a change of a source reaches its copy: many times what it takes on a busy
/// machine, and far less than the tenant's own ConfigMapSyncs wait for each other.
const NOT_DELAYED: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;
const LARGE: usize = 900_000;

/// The data of a source near the largest size.
pub fn large_data() -> Value {
    json!({"n": "0", "large": "x".repeat(LARGE)})
}

/// Edits a ConfigMap, whose content is not received.
pub async fn edit(fixture: &Fixture, namespace: &str, name: &str, value: &str) -> Result<()> {
    let maps = Api::<ConfigMap>::namespaced(fixture.client(), namespace);
    let patch = Patch::Merge(json!({"data": {"n": value}}));
    maps.patch_metadata(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Edits these sources in `quiet`, one after the other, and waits for their copies in `app`.
pub async fn ensure_not_delayed(fixture: &Fixture, names: &[&str]) -> Result<()> {
    let copies = Api::<ConfigMap>::namespaced(fixture.client(), "app");
    let version = async |name: &str| -> Result<Option<String>> {
        let copy = copies.get_metadata_opt(name).await?;
        Ok(copy.and_then(|copy| copy.metadata.resource_version))
    };
    for name in names {
        until(format!("app/{name} exists"), SOON, || async {
            Ok(Seen::from_bool(version(name).await?.is_some(), || "missing".to_owned()))
        })
        .await?;
    }
    for round in 0..ROUNDS {
        for name in names {
            let (value, before) = (format!("edit {round}"), version(name).await?);
            let begin = Instant::now();
            edit(fixture, "quiet", name, &value).await?;
            until(format!("app/{name} follows its source"), NOT_DELAYED, || async {
                let now = version(name).await?;
                Ok(Seen::from_bool(now != before, || format!("version {now:?}")))
            })
            .await?;
            eprintln!("app/{name} follows after {:?}", begin.elapsed());
            let copy = fixture.config_map("app", name).await?.context("the copy is gone")?;
            let found = copy.data.and_then(|mut data| data.remove("n"));
            ensure!(found.as_ref() == Some(&value), "app/{name} has {found:?}, not {value:?}");
        }
    }
    Ok(())
}
