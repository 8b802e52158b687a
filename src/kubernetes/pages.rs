//! Lists of any length, in answers of bearable size.

use kube::api::ListParams;
use kube::core::ObjectList;

/// How many objects one answer holds.
const PAGE: u32 = 500;

/// Hands each page of what `list` lists by `parameters` to `page`, one after the other. What is
/// created meanwhile may be missed; what was there at the beginning is not.
///
/// # Errors
/// Those of `list`. A walk that takes longer than the API server remembers (minutes) ends in HTTP
/// 410.
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
