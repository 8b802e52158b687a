//! Can the namespaces be meant that the flags name?
//!
//! A misspelled one would stop the operator, for nothing.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::Client;

use crate::api::scope::Scope;
use crate::commands::error::Error;
use crate::commands::error::InputError;
use crate::commands::operator_settings::scope_of;
use crate::commands::setting::Setting;
use crate::commands::setting::setting;
use crate::decide::uninstall::CopyHandling;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::has_code;
use crate::uninstall::count;

/// Checks each namespace in `named`: if the operator in the namespace `own` is limited to some
/// namespaces, it is one of them, or something is to be undone in it; otherwise it exists. A namespace of
/// the scope need not exist any more.
///
/// # Errors
/// One of them is not; or a read fails.
pub async fn ensure_meant(
    client: &Client,
    named: &[String],
    deployment: &Deployment,
    own: &str,
    handling: CopyHandling,
) -> Result<(), Error> {
    let scope = match setting(deployment, "namespaces") {
        Setting::Given(list) => scope_of(&list, own),
        Setting::Default | Setting::Unknown(_) => Scope::Cluster,
    };
    for namespace in named.iter().filter(|it| !it.is_empty()) {
        match &scope {
            Scope::Cluster => ensure_exists(client, namespace).await?,
            Scope::Namespaces(scope) if scope.contains(namespace) => {}
            Scope::Namespaces(scope) => {
                let only = Scope::only(std::slice::from_ref(namespace));
                if count(client, &only, handling).await?.writes() == 0 {
                    let scope = scope.iter().cloned().collect::<Vec<_>>().join(", ");
                    let namespace = namespace.clone();
                    return Err(InputError::NothingToUndo { namespace, scope }.into());
                }
            }
        }
    }
    Ok(())
}

/// A caller who may not read it is not stopped.
async fn ensure_exists(client: &Client, namespace: &str) -> Result<(), Error> {
    let api: Api<Namespace> = Api::all(client.clone());
    match api.get_metadata_opt(namespace).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(InputError::NoSuchNamespace(namespace.to_owned()).into()),
        Err(error) if has_code(&error, 403) => Ok(()),
        Err(error) => Err(ApiFailure::of(&format!("read Namespace {namespace}"), &error).into()),
    }
}
