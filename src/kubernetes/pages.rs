//! Lists in pages, so that no response grows with the number of objects.

use kube::Client;
use serde::de::DeserializeOwned;

use crate::kubernetes::lists::List;

/// Lists `list`, and passes what `keep` returns for the objects of each page to `page`, one page after
/// the other. At most one object is decoded at a time.
///
/// Objects that exist from the first page to the last are all listed; objects created in between
/// may be missed.
///
/// # Errors
/// The API server rejects a request, or does not respond. HTTP 410 if it has compacted the list's
/// resourceVersion before the last page, which it does after some minutes.
pub async fn each_page<K: DeserializeOwned, Kept>(
    client: &Client,
    list: &List,
    mut keep: impl FnMut(K) -> Option<Kept>,
    mut page: impl AsyncFnMut(Vec<Kept>),
) -> kube::Result<()> {
    let mut token = None;
    loop {
        let mut items = list.page(client, token).await?;
        let mut kept = Vec::new();
        while let Some(object) = items.next().await? {
            kept.extend(keep(object));
        }
        let metadata = items.end()?;
        page(kept).await;
        token = metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(());
        }
    }
}

/// The first object of `list`, if there is one.
///
/// # Errors
/// The API server rejects the request, or does not respond.
pub async fn first_object<K: DeserializeOwned>(
    client: &Client,
    list: &List,
) -> kube::Result<Option<K>> {
    let mut items = list.page(client, None).await?;
    let mut first = None;
    while let Some(object) = items.next().await? {
        first.get_or_insert(object);
    }
    items.end()?;
    Ok(first)
}

/// As [`each_page`], and passes each object to `each`.
///
/// # Errors
/// As [`each_page`].
pub async fn each_object<K: DeserializeOwned>(
    client: &Client,
    list: &List,
    mut each: impl FnMut(K),
) -> kube::Result<()> {
    let keep = |object| {
        each(object);
        None::<()>
    };
    each_page(client, list, keep, async |_| {}).await
}
