//! Lists in pages, so that no response grows with the number of objects.

use kube::api::ListParams;
use kube::core::ObjectList;

/// How many objects one page holds.
const PAGE: u32 = 500;

/// Lists with `list` and `parameters`, and passes each page to `page`, one after the other.
///
/// Objects that exist from the first page to the last are all listed; objects created in between
/// may be missed.
///
/// # Errors
/// Those of `list`. HTTP 410 if the API server has compacted the list's resourceVersion before the
/// last page, which it does after some minutes.
pub async fn each_page<K: Clone>(
    parameters: ListParams,
    list: impl AsyncFn(ListParams) -> kube::Result<ObjectList<K>>,
    mut page: impl AsyncFnMut(Vec<K>),
) -> kube::Result<()> {
    let mut parameters = parameters.limit(PAGE);
    loop {
        let listed = list(parameters.clone()).await?;
        page(listed.items).await;
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(()),
        }
    }
}
