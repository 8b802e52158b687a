//! Which kinds an API server serves.
//!
//! A call for a kind that is not served is answered with a 404 that names nothing, and so is one that a
//! proxy misroutes. The discovery documents, which every authenticated user may read, distinguish the
//! two.

use kube::Client;
use kube::Resource;

use crate::kubernetes::error::has_code;

/// Whether the API server serves the kind `K`.
///
/// # Errors
/// The API server rejects a call, or does not respond.
pub async fn is_served<K: Resource<DynamicType = ()>>(client: &Client) -> kube::Result<bool> {
    let (group, version) = (K::group(&()), K::version(&()));
    let groups = client.list_api_groups().await?.groups;
    let mut versions = groups.iter().filter(|it| it.name == group).flat_map(|it| &it.versions);
    if !versions.any(|it| it.version == version) {
        return Ok(false);
    }
    let served = client.list_api_group_resources(&K::api_version(&())).await?;
    Ok(served.resources.iter().any(|it| it.name == K::plural(&())))
}

/// `listed`, the result of a list of `K`; if the API server does not serve `K`, an empty list.
///
/// # Errors
/// That of `listed`, or of [`is_served`].
pub async fn unless_not_served<K: Resource<DynamicType = ()>>(
    client: &Client,
    listed: kube::Result<()>,
) -> kube::Result<()> {
    match listed {
        Err(error) if has_code(&error, 404) && !is_served::<K>(client).await? => Ok(()),
        listed => listed,
    }
}
