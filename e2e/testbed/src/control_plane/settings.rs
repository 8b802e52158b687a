//! What may differ between one control plane and another.

use std::ffi::OsString;
use std::net::IpAddr;
use std::net::Ipv4Addr;

/// The controllers that a cluster without pods needs: namespaces and what belongs to a deleted
/// owner go away, service accounts and the ConfigMap `kube-root-ca.crt` come into being, cluster
/// roles are aggregated. The one that removes pods of unknown nodes is not among them, so that
/// the pods of [`harness::replica`] stay.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,\
     serviceaccount-controller,root-ca-certificate-publisher-controller,\
     clusterrole-aggregation-controller,resourcequota-controller";

/// How much of each request the audit log holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Recorded {
    /// What was sent and what was answered, for the kinds that tests ask about.
    #[default]
    Whole,
    /// That it happened.
    Counted,
}

/// How to start a control plane. The default is on loopback, without pods, and needs no root.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Words before each program, such as `nsenter --net=FILE --`: see
    /// [`crate::process::Program::prefix`].
    pub prefix: Vec<OsString>,
    /// The address that the API server listens on, announces, and is reached at.
    pub address: IpAddr,
    /// Its port; without one, a free one is found.
    pub port: Option<u16>,
    /// The range that Services get their addresses from.
    pub service_range: String,
    /// Names and addresses in the API server's certificate, besides its own address and the usual
    /// names of the Service `kubernetes`: the first address of the range belongs here if pods use it.
    pub server_names: Vec<String>,
    /// More arguments of kube-apiserver, such as `--kubelet-client-certificate=...`.
    pub api_server_arguments: Vec<String>,
    /// The controllers to run; `*` stands for all that usually do.
    pub controllers: String,
    /// More arguments of kube-controller-manager.
    pub controller_manager_arguments: Vec<String>,
    /// How much the audit log holds.
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
            api_server_arguments: Vec::new(),
            controllers: CONTROLLERS.to_owned(),
            controller_manager_arguments: Vec::new(),
            recorded: Recorded::default(),
        }
    }
}

// === impl Settings ===

impl Settings {
    /// A cluster whose API server knows no `ValidatingAdmissionPolicy`, like those before the kind
    /// was there. Without its API the plugin that enforces it would wait for it, and refuse all
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
}
