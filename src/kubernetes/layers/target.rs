//! The resource that a request is for, as its path names it.

/// The plural name of the resource in `path`, with the subresource if there is one, such as
/// `configmapsyncs/status`. It names no object, so that there are few of them. `None` for a path
/// that names no resource, such as `/version`.
#[must_use]
pub fn resource(path: &str) -> Option<String> {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let (["api", _, below_version @ ..] | ["apis", _, _, below_version @ ..]) = parts.as_slice()
    else {
        return None;
    };
    let (resource, subresource) = match below_version {
        // A namespace itself has these two subresources; all else below it is a resource.
        ["namespaces", _, subresource @ ("status" | "finalize")] => {
            ("namespaces", Some(subresource))
        }
        ["namespaces", _, resource, rest @ ..] | [resource, rest @ ..] => (*resource, rest.get(1)),
        [] => return None,
    };
    Some(match subresource {
        Some(subresource) => format!("{resource}/{subresource}"),
        None => resource.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_resource_and_subresource() {
        for (path, expected) in [
            ("/api/v1/configmaps", Some("configmaps")),
            ("/api/v1/namespaces/a/configmaps", Some("configmaps")),
            ("/api/v1/namespaces/a/configmaps/b", Some("configmaps")),
            ("/api/v1/namespaces", Some("namespaces")),
            ("/api/v1/namespaces/a", Some("namespaces")),
            ("/api/v1/namespaces/a/status", Some("namespaces/status")),
            ("/api/v1/namespaces/a/serviceaccounts/b/token", Some("serviceaccounts/token")),
            ("/apis/x.y/v1/namespaces/a/things/b/status", Some("things/status")),
            ("/apis/x.y/v1/things/b", Some("things")),
            ("/apis/x.y/v1/things/b/scale", Some("things/scale")),
            ("/apis/x.y/v1", None),
            ("/api", None),
            ("/version", None),
        ] {
            assert_eq!(resource(path).as_deref(), expected, "{path}");
        }
    }
}
