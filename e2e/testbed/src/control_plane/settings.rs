//! The settings of a control plane.

use std::ffi::OsString;
use std::net::IpAddr;
use std::net::Ipv4Addr;

/// The controllers that a cluster without nodes needs: they delete namespaces and orphaned dependents,
/// create ServiceAccounts and the ConfigMap `kube-root-ca.crt`, aggregate `ClusterRole`s, and update the
/// status of `ResourceQuota`s. The pod garbage collector is omitted: it would delete the pods that tests create,
/// because their nodes do not exist.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,\
     serviceaccount-controller,root-ca-certificate-publisher-controller,\
     clusterrole-aggregation-controller,resourcequota-controller";

/// What the audit log contains of each request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Recorded {
    /// The bodies of requests and responses, for the kinds that tests check.
    #[default]
    Whole,
    /// The metadata only.
    Counted,
}

/// The settings of a control plane. The default listens on loopback, has no nodes, and needs no root.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The prefix of each command line, such as `nsenter --net=FILE --`: see
    /// [`crate::process::Program::prefix`].
    pub prefix: Vec<OsString>,
    /// The address on which the API server listens, and which it advertises.
    pub address: IpAddr,
    /// The port of the API server; `None`: any free port.
    pub port: Option<u16>,
    /// The IP address range of Services.
    pub service_range: String,
    /// Additional names and addresses in the API server's certificate, which always contains its own
    /// address and the names of the Service `kubernetes`. If pods use that Service, add the first
    /// address of `service_range`.
    pub server_names: Vec<String>,
    /// Additional arguments of etcd, such as `--quota-backend-bytes=...`.
    pub etcd_arguments: Vec<String>,
    /// Additional arguments of kube-apiserver, such as `--kubelet-client-certificate=...`.
    pub api_server_arguments: Vec<String>,
    /// The value of `--controllers` of kube-controller-manager; `*`: all that are enabled by default.
    pub controllers: String,
    /// Additional arguments of kube-controller-manager.
    pub controller_manager_arguments: Vec<String>,
    /// What the audit log contains.
    pub recorded: Recorded,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            address: Ipv4Addr::LOCALHOST.into(),
            port: None,
            service_range: "10.96.0.0/16".to_owned(),
            server_names: Vec::new(),
            etcd_arguments: Vec::new(),
            api_server_arguments: Vec::new(),
            controllers: CONTROLLERS.to_owned(),
            controller_manager_arguments: Vec::new(),
            recorded: Recorded::default(),
        }
    }
}

// === impl Settings ===

impl Settings {
    /// A cluster whose API server does not serve `ValidatingAdmissionPolicy`, like old versions of
    /// Kubernetes. The admission plugin is disabled, too: it would wait for the kind, and reject all
    /// writes meanwhile.
    #[must_use]
    pub fn without_policies() -> Self {
        let kinds = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
        let off = kinds.map(|kind| format!("admissionregistration.k8s.io/v1/{kind}=false"));
        let api_server_arguments = vec![
            format!("--runtime-config={}", off.join(",")),
            "--disable-admission-plugins=ValidatingAdmissionPolicy".to_owned(),
        ];
        Self { api_server_arguments, ..Self::default() }
    }

    /// A cluster whose API server serves `MutatingAdmissionPolicy`, as newer versions do by default.
    #[must_use]
    pub fn with_mutating_policies() -> Self {
        let api_server_arguments = vec![
            "--runtime-config=admissionregistration.k8s.io/v1beta1=true".to_owned(),
            "--feature-gates=MutatingAdmissionPolicy=true".to_owned(),
        ];
        Self { api_server_arguments, ..Self::default() }
    }
}
