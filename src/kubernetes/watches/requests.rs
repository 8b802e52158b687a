//! The requests of a watch, each with a time limit.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::Resource;
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;

use crate::kubernetes::clients::CALL_TIMEOUT;
use crate::kubernetes::clients::Clients;
use crate::kubernetes::items::Items;
use crate::kubernetes::lists::List;
use crate::kubernetes::watches::error::Error;

/// How long a page may take in all, as on the side of the API server.
const PAGE_TIMEOUT: Duration = Duration::from_mins(1);

/// What to watch, and the clients for it.
#[derive(Clone)]
pub struct Source {
    clients: Clients,
    list: List,
}

/// A page of a list, whose objects arrive one by one.
pub(super) struct Page<K> {
    items: Items<Body, K>,
    deadline: Instant,
}

// === impl Source ===

impl Source {
    /// All objects of a kind in `namespace`; without one, in the whole cluster.
    #[must_use]
    pub fn objects<K>(clients: Clients, namespace: Option<&str>) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        Self { clients, list: List::objects::<K>(namespace) }
    }

    /// The metadata of all objects of a kind in `namespace`; without one, in the whole cluster.
    #[must_use]
    pub fn metadata<K>(clients: Clients, namespace: Option<&str>) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        Self { clients, list: List::metadata::<K>(namespace) }
    }

    /// Requests the page of the list with this continue token; `None` for the first one.
    pub(super) async fn page<K>(&self, token: Option<String>) -> Result<Page<K>, Error>
    where
        K: DeserializeOwned,
    {
        let deadline = Instant::now() + PAGE_TIMEOUT;
        let page = self.list.page(&self.clients.calls, token);
        Ok(Page { items: in_time(deadline, page).await?, deadline })
    }

    /// Requests the changes after `version`: a response without an end, with an event per line.
    pub(super) async fn changes(&self, version: &str) -> Result<Body, Error> {
        // The API server sends the head of the response at once.
        let response = self.list.changes(&self.clients.watches, version);
        let response = timeout(CALL_TIMEOUT, response).await;
        Ok(response.map_err(|_| Error::Timeout(CALL_TIMEOUT))??)
    }
}

// === impl Page ===

impl<K: DeserializeOwned> Page<K> {
    /// The next object; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<K>, Error> {
        in_time(self.deadline, self.items.next()).await
    }

    /// The metadata of the list, after its last object.
    pub(super) fn end(self) -> Result<ListMeta, Error> {
        Ok(self.items.end()?)
    }
}

async fn in_time<T>(
    deadline: Instant,
    response: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    let response = timeout_at(deadline, response).await;
    Ok(response.map_err(|_| Error::Timeout(PAGE_TIMEOUT))??)
}
