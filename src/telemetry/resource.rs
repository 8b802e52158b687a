//! The resource of exported traces: which process, of which pod, sent them.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::resource::TelemetryResourceDetector;

use crate::names;

/// The pod that the operator runs in.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// The attributes by the semantic conventions. `OTEL_RESOURCE_ATTRIBUTES` takes precedence over them,
/// and `service_name` (`OTEL_SERVICE_NAME`) over both.
pub fn resource(pod: Pod<'_>, service_name: Option<String>) -> Resource {
    let attribute = |key, value: &str| KeyValue::new(key, value.to_owned());
    let resource = Resource::builder_empty()
        .with_attributes([
            attribute("service.name", names::SERVICE_NAME),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("service.instance.id", pod.uid),
            attribute("k8s.namespace.name", pod.namespace),
            attribute("k8s.pod.name", pod.name),
            attribute("k8s.pod.uid", pod.uid),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match service_name {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::Key;

    use super::*;

    #[test]
    fn the_service_name_can_be_set() {
        let pod = Pod { namespace: "ns", name: "pod-0", uid: "u" };
        let name = |set: Option<&str>| {
            let resource = resource(pod, set.map(str::to_owned));
            resource.get(&Key::new("service.name")).map(|value| value.to_string())
        };
        assert_eq!(name(None).as_deref(), Some("configmapsync"));
        assert_eq!(name(Some("copies")).as_deref(), Some("copies"));
    }
}
