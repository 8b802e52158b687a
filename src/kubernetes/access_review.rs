//! `SubjectAccessReview` and `LocalSubjectAccessReview`: whether a user may do something.

use k8s_openapi::api::authorization::v1::LocalSubjectAccessReview;
use k8s_openapi::api::authorization::v1::ResourceAttributes;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use kube::Api;
use kube::Client;
use kube::api::PostParams;

use crate::kubernetes::error::unnamed;

/// A user as the API server authenticates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    groups: Vec<String>,
}

/// One permission: a verb on a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permission {
    /// The verb, such as `create`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in the plural, or `resource/subresource`.
    pub resource: String,
    /// The name of the object; `None` stands for all objects.
    pub name: Option<String>,
    /// The namespace; `None` stands for the whole cluster.
    pub namespace: Option<String>,
}

// === impl User ===

impl User {
    /// The ServiceAccount `name` in `namespace`, with the groups of every ServiceAccount.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let groups = [
            "system:authenticated".to_owned(),
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
        Self { name: format!("system:serviceaccount:{namespace}:{name}"), groups: groups.into() }
    }
}

// === impl Permission ===

impl Permission {
    fn attributes(&self) -> ResourceAttributes {
        let (resource, subresource) = match self.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (self.resource.as_str(), None),
        };
        ResourceAttributes {
            namespace: self.namespace.clone(),
            verb: Some(self.verb.clone()),
            group: Some(self.group.clone()),
            resource: Some(resource.to_owned()),
            subresource,
            name: self.name.clone(),
            ..ResourceAttributes::default()
        }
    }
}

/// Whether `user` has `permission`. Requires the permission to create `SubjectAccessReviews`.
///
/// # Errors
/// The API server rejects the review, does not respond, or the response is none to a review. That is
/// not a denial.
pub async fn is_allowed(
    client: &Client,
    user: &User,
    permission: &Permission,
) -> kube::Result<bool> {
    let spec = spec(user, permission.attributes());
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    verdict(reviews.create(&PostParams::default(), &review).await?.status)
}

/// As [`is_allowed`], in `namespace` whatever `permission` says. Requires the permission to create
/// `LocalSubjectAccessReviews` in that namespace only.
///
/// # Errors
/// As [`is_allowed`].
pub async fn is_allowed_in(
    namespace: &str,
    client: &Client,
    user: &User,
    permission: &Permission,
) -> kube::Result<bool> {
    let namespaced = Some(namespace.to_owned());
    let attributes = ResourceAttributes { namespace: namespaced, ..permission.attributes() };
    let spec = spec(user, attributes);
    let review = LocalSubjectAccessReview { spec, ..LocalSubjectAccessReview::default() };
    let reviews: Api<LocalSubjectAccessReview> = Api::namespaced(client.clone(), namespace);
    verdict(reviews.create(&PostParams::default(), &review).await?.status)
}

fn spec(user: &User, attributes: ResourceAttributes) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        groups: Some(user.groups.clone()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    }
}

fn verdict(status: Option<SubjectAccessReviewStatus>) -> kube::Result<bool> {
    // Without a status, it is the page of a proxy.
    let status = status.ok_or_else(unnamed)?;
    Ok(status.allowed && status.denied != Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subresource_is_split_from_its_resource() {
        let permission =
            Permission { resource: "deployments/scale".into(), ..Permission::default() };
        let attributes = permission.attributes();
        assert_eq!(attributes.resource.as_deref(), Some("deployments"));
        assert_eq!(attributes.subresource.as_deref(), Some("scale"));
        let permission = Permission { resource: "pods".into(), ..Permission::default() };
        assert_eq!(permission.attributes().subresource, None);
    }
}
