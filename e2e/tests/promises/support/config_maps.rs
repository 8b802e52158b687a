//! ConfigMaps as a user creates them.

use anyhow::Context;
use anyhow::Result;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;
use testbed::wait::Seen;
use testbed::wait::until;

/// Creates a `ConfigMap` from JSON.
pub async fn create(fixture: &Fixture, config_map: Value) -> Result<ConfigMap> {
    let config_map: ConfigMap = serde_json::from_value(config_map)?;
    let namespace = config_map.metadata.namespace.clone().context("no namespace")?;
    let api = Api::<ConfigMap>::namespaced(fixture.client(), &namespace);
    let created = api.create(&PostParams::default(), &config_map).await;
    created.with_context(|| format!("creating {:?}", config_map.metadata.name))
}

/// Creates a `ConfigMap` in a namespace that was deleted and created again. For a moment, the API
/// server may still see the old namespace and refuse the request.
pub async fn create_in_recreated_namespace(
    fixture: &Fixture,
    namespace: &str,
    name: &str,
    data: &[(&str, &str)],
) -> Result<ConfigMap> {
    let what = format!("the ConfigMap {namespace}/{name} can be created");
    until(what, SOON, || async {
        match fixture.create_config_map(namespace, name, data).await {
            Ok(created) => Ok(Seen::Done(created)),
            Err(error) if is_terminating(&error) => Ok(Seen::NotYet(format!("{error:#}"))),
            Err(error) => Err(error),
        }
    })
    .await
}

fn is_terminating(error: &anyhow::Error) -> bool {
    let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() else { return false };
    status.code == 403 && status.message.contains("is being terminated")
}
