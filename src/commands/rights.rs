//! `configmapsync rights`: the Roles and RoleBindings that the ServiceAccount of a sync needs.

mod roles;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::args::Rights;
use crate::cache::Reader;
use crate::commands::connection::connect;
use crate::commands::error::Error;
use crate::commands::exit::Exit;
use crate::commands::rights::roles::Destinations;
use crate::commands::rights::roles::RightsOf;
use crate::commands::rights::roles::yaml;
use crate::commands::snapshot::read_syncs_and_namespaces;
use crate::commands::terminal::print;
use crate::decide::desired::source_name;
use crate::decide::destinations::Target;
use crate::decide::observed::ObservedSync;
use crate::decide::scope::limited_to;

/// Prints the Roles and RoleBindings as YAML.
///
/// # Errors
/// The sync does not exist, is outside the scope, is invalid or has no ServiceAccount; or a read fails.
pub async fn rights(flags: &Rights) -> Result<Exit, Error> {
    let (client, _) = connect(&flags.cluster).await?;
    let snapshot = read_syncs_and_namespaces(&client, flags.boundaries.scope()).await?;
    let name = &flags.sync;
    snapshot.ensure_in_scope(name)?;
    let stored = snapshot.sync(&client, name).await?;
    let failed = |why: &str| Error::Rights { sync: name.clone(), why: why.to_owned() };
    let sync =
        stored.as_ref().and_then(ObservedSync::of).ok_or_else(|| failed("it does not exist"))?;
    let sync = limited_to(&snapshot.scope, sync);
    let spec = sync.spec.as_ref().map_err(|why| failed(why))?;
    let target = Target::of(spec).map_err(|why| failed(&why))?;
    let account = flags.boundaries.tenancy().account_of(&sync).ok_or_else(|| {
        failed(
            "it has no spec.serviceAccountName: set --default-service-account as in the operator",
        )
    })?;
    let source = source_name(spec);
    let destinations = match &target {
        Target::Single(at) => Destinations::Each(BTreeSet::from([at.clone()])),
        Target::Selected { selector, .. } if flags.each_namespace => {
            let reader = Reader::new(client.clone(), Arc::clone(&snapshot.cache));
            let selected = reader.select(selector).await?;
            Destinations::Each(target.destinations(&selected, &source))
        }
        Target::Selected { name, .. } => Destinations::All(name.clone()),
    };
    print(&yaml(&RightsOf { sync: name.clone(), account, source, destinations })?)?;
    Ok(Exit::Success)
}
