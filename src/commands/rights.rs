//! `configmapsync rights`: the Roles and RoleBindings that the ServiceAccount of a sync needs.

mod roles;
mod warnings;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::Client;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::args::Rights;
use crate::cache::Reader;
use crate::commands::connection::connect;
use crate::commands::error::Error;
use crate::commands::exit::Exit;
use crate::commands::input::Selection;
use crate::commands::input::SyncInput;
use crate::commands::operator_settings::OperatorSettings;
use crate::commands::operator_settings::operator_settings;
use crate::commands::rights::roles::Destinations;
use crate::commands::rights::roles::RightsOf;
use crate::commands::rights::roles::yaml;
use crate::commands::rights::warnings::warnings;
use crate::commands::snapshot::Snapshot;
use crate::commands::snapshot::read_syncs_and_namespaces;
use crate::commands::table::printable;
use crate::commands::terminal::print;
use crate::decide::desired::source_name;
use crate::decide::destinations::Target;
use crate::decide::observed::ObservedSync;
use crate::decide::scope::limited_to;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::has_code;

/// Prints the Roles and RoleBindings as YAML, and warnings to standard error.
///
/// # Errors
/// The sync does not exist, is outside the scope, is invalid or has no ServiceAccount; or a read fails.
pub async fn rights(flags: &Rights) -> Result<Exit, Error> {
    let (client, namespace) = connect(&flags.cluster).await?;
    let selection = Selection::of(flags.filename.as_deref(), flags.sync.as_ref(), &namespace)?;
    let settings = operator_settings(&client, &flags.installation).await;
    let snapshot = read_syncs_and_namespaces(&client, settings.scope.clone()).await?;
    let mut printed = Vec::new();
    for input in selection.among(&snapshot)? {
        let (rights, excluded) =
            rights_of(&client, &snapshot, &settings, &input, flags.each_namespace).await?;
        let is_account_missing = is_missing(&client, &rights.account).await?;
        for warning in warnings(&rights, &excluded, is_account_missing) {
            eprintln!("configmapsync: {}", printable(&warning));
        }
        printed.push(yaml(&rights)?);
    }
    print(&printed.join("---\n"))?;
    Ok(Exit::Success)
}

/// The permissions that a sync needs, and the destinations in which copies are never written.
async fn rights_of(
    client: &Client,
    snapshot: &Snapshot,
    settings: &OperatorSettings,
    input: &SyncInput,
    each_namespace: bool,
) -> Result<(RightsOf, Vec<NamespacedName>), Error> {
    let name = &input.name;
    let failed = |why: &str| Error::Rights { sync: name.clone(), why: why.to_owned() };
    let (stored, _) = input.stored(client, snapshot).await?;
    let sync = ObservedSync::of(&stored).ok_or_else(|| failed("it has no uid"))?;
    let sync = limited_to(&snapshot.scope, sync);
    let spec = sync.spec.as_ref().map_err(|why| failed(why))?;
    let target = Target::of(spec).map_err(|why| failed(&why))?;
    let account = settings.tenancy.account_of(&sync).ok_or_else(|| {
        failed(
            "it has no spec.serviceAccountName: set --default-service-account as in the operator",
        )
    })?;
    let (source, protected) = (source_name(spec), &settings.protected);
    // A limited operator never asks for all namespaces.
    let is_each = each_namespace || snapshot.scope != Scope::Cluster;
    let (destinations, excluded) = match &target {
        Target::Selected { name, .. } if !is_each => (Destinations::All(name.clone()), Vec::new()),
        Target::Selected { selector, .. } => {
            let reader = Reader::new(client.clone(), Arc::clone(&snapshot.cache));
            let selected = reader.select(selector).await?;
            writable(protected, target.destinations(&selected, &source))
        }
        Target::Single(at) => writable(protected, BTreeSet::from([at.clone()])),
    };
    Ok((RightsOf { sync: name.clone(), account, source, destinations }, excluded))
}

/// The destinations that are not protected; and those that are.
fn writable(
    protected: &NamespacePatterns,
    destinations: BTreeSet<NamespacedName>,
) -> (Destinations, Vec<NamespacedName>) {
    let (excluded, written): (BTreeSet<_>, BTreeSet<_>) =
        destinations.into_iter().partition(|at| protected.contains(&at.namespace));
    (Destinations::Each(written), excluded.into_iter().collect())
}

/// Whether the ServiceAccount does not exist; `false` if the caller may not know.
async fn is_missing(client: &Client, account: &NamespacedName) -> Result<bool, ApiFailure> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &account.namespace);
    match accounts.get_metadata_opt(&account.name).await {
        Ok(found) => Ok(found.is_none()),
        Err(error) if has_code(&error, 403) => Ok(false),
        Err(error) => Err(ApiFailure::of(&format!("read ServiceAccount {account}"), &error)),
    }
}
