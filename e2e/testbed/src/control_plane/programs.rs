//! The command lines of etcd, kube-apiserver and kube-controller-manager.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use serde_json::json;

use crate::accounts::OPERATOR_USER;
use crate::accounts::UNINSTALL_USER;
use crate::audit::RECEIVED;
use crate::certificates::Authority;
use crate::certificates::KeyFiles;
use crate::control_plane::settings::Recorded;
use crate::control_plane::settings::Settings;
use crate::process::Program;
use crate::tools::Tools;

/// The folder, binaries, settings and keys of the programs.
#[derive(Debug)]
pub(super) struct Programs {
    pub folder: PathBuf,
    pub tools: Tools,
    pub settings: Settings,
    authority: PathBuf,
    serving: KeyFiles,
    token_key: KeyFiles,
}

impl Programs {
    pub fn prepare(
        folder: PathBuf,
        tools: &Tools,
        authority: &Authority,
        settings: Settings,
    ) -> Result<Self> {
        let mut names: Vec<_> = ["localhost", "kubernetes", "kubernetes.default"]
            .into_iter()
            .chain(["kubernetes.default.svc", "kubernetes.default.svc.cluster.local"])
            .map(str::to_owned)
            .collect();
        names.push(settings.address.to_string());
        names.extend(settings.server_names.iter().cloned());
        let policy = folder.join("audit-policy.json");
        fs::write(&policy, audit_policy(settings.recorded)).context("writing the audit policy")?;
        Ok(Self {
            folder,
            tools: tools.clone(),
            settings,
            authority: authority.certificate().to_owned(),
            serving: authority.issue_server("kube-apiserver", &names)?,
            token_key: authority.signing_key("service-account")?,
        })
    }

    /// The audit log of the API server with this number.
    pub fn audit_log(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{}audit.log", prefix(number)))
    }

    /// The URL of the API server on this port.
    pub fn server(&self, port: u16) -> String {
        format!("https://{}", SocketAddr::new(self.settings.address, port))
    }

    /// The kubeconfig of the controllers.
    pub fn controllers_kubeconfig(&self) -> PathBuf {
        self.folder.join("kube-controller-manager.kubeconfig")
    }

    /// etcd listens on a socket in the folder, so that it needs no port. A single member has no peers,
    /// but the flag for their address is required.
    pub fn etcd(&self) -> Result<Program> {
        let peer = "http://127.0.0.1:1";
        Ok(self
            .program("etcd")?
            .argument("--unsafe-no-fsync")
            .argument("--name=etcd")
            .argument(format!("--data-dir={}", self.folder.join("etcd").display()))
            .argument(format!("--listen-client-urls={}", self.etcd_socket()))
            .argument(format!("--advertise-client-urls={peer}"))
            .argument("--listen-peer-urls=http://127.0.0.1:0")
            .argument(format!("--initial-advertise-peer-urls={peer}"))
            .argument(format!("--initial-cluster=etcd={peer}"))
            .argument("--log-level=warn")
            .arguments(&self.settings.etcd_arguments))
    }

    /// The API server with this number. The first is 0; the others share its configuration files, but
    /// not its logs.
    pub fn api_server(&self, number: usize, port: u16) -> Result<Program> {
        let folder = self.folder.display();
        let settings = &self.settings;
        Ok(self
            .program_as("kube-apiserver", &prefix(number))?
            .argument(format!("--etcd-servers={}", self.etcd_socket()))
            .argument(format!("--bind-address={}", settings.address))
            .argument(format!("--advertise-address={}", settings.address))
            .argument(format!("--secure-port={port}"))
            .argument("--endpoint-reconciler-type=none")
            .argument(format!("--service-cluster-ip-range={}", settings.service_range))
            .argument(format!("--cert-dir={folder}"))
            .argument(format!("--tls-cert-file={}", self.serving.certificate.display()))
            .argument(format!("--tls-private-key-file={}", self.serving.key.display()))
            .argument(format!("--client-ca-file={}", self.authority.display()))
            .argument("--authorization-mode=Node,RBAC")
            .argument("--enable-admission-plugins=NodeRestriction")
            .argument("--service-account-issuer=https://kubernetes.default.svc")
            .argument(format!(
                "--service-account-key-file={}",
                self.token_key.certificate.display()
            ))
            .argument(format!(
                "--service-account-signing-key-file={}",
                self.token_key.key.display()
            ))
            // Each stage of a request is in the log before the request continues.
            .argument("--audit-log-mode=blocking")
            .argument("--audit-log-format=json")
            .argument(format!("--audit-log-path={}", self.audit_log(number).display()))
            .argument(format!("--audit-policy-file={folder}/audit-policy.json"))
            // In megabytes; large enough to prevent rotation.
            .argument("--audit-log-maxsize=1000000")
            .argument("--profiling=false")
            .arguments(&settings.api_server_arguments))
    }

    pub fn controller_manager(&self) -> Result<Program> {
        let settings = &self.settings;
        Ok(self
            .program("kube-controller-manager")?
            .argument(format!("--kubeconfig={}", self.controllers_kubeconfig().display()))
            .argument(format!("--controllers={}", settings.controllers))
            .argument(format!("--root-ca-file={}", self.authority.display()))
            .argument(format!(
                "--service-account-private-key-file={}",
                self.token_key.key.display()
            ))
            // Each controller has only the permissions of its own ServiceAccount, as usual.
            .argument("--use-service-account-credentials=true")
            .argument("--leader-elect=false")
            .argument("--secure-port=0")
            .argument("--kube-api-qps=200")
            .argument("--kube-api-burst=400")
            .argument("--profiling=false")
            .arguments(&settings.controller_manager_arguments))
    }

    fn program(&self, name: &str) -> Result<Program> {
        self.program_as(name, "")
    }

    fn program_as(&self, name: &str, prefix: &str) -> Result<Program> {
        let log = self.folder.join(format!("{prefix}{name}.log"));
        Ok(Program::new(self.tools.path(name)?, log).prefix(&self.settings.prefix))
    }

    fn etcd_socket(&self) -> String {
        format!("unix://{}/etcd.sock", self.folder.display())
    }
}

/// Prefix of the files that an API server writes.
fn prefix(number: usize) -> String {
    if number == 0 { String::new() } else { format!("{number}-") }
}

/// Records request and response bodies for the kinds that tests check; metadata for all other requests
/// of the operator, so that granted permissions can be compared with used ones; and nothing else.
///
/// Requests of the operator are recorded on receipt, too, so that the log shows which of them have no
/// response yet. Watches are long, and are recorded when their response starts.
fn audit_policy(recorded: Recorded) -> String {
    let level = match recorded {
        Recorded::Whole => "RequestResponse",
        Recorded::Counted => "Metadata",
    };
    let checked = json!([
        {"group": "", "resources": ["configmaps", "events"]},
        {"group": "apps.nishaf.info"},
        {"group": "coordination.k8s.io", "resources": ["leases"]},
        {"group": "events.k8s.io"},
    ]);
    let operator = [OPERATOR_USER, UNINSTALL_USER];
    let short_verbs = ["get", "list", "create", "update", "patch", "delete", "deletecollection"];
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitManagedFields": true,
        "rules": [
            {"level": level, "users": operator, "verbs": short_verbs, "resources": checked},
            {"level": level, "resources": checked, "omitStages": [RECEIVED]},
            {"level": "Metadata", "users": operator, "verbs": short_verbs},
            {"level": "Metadata", "users": operator, "omitStages": [RECEIVED]},
            {"level": "None"},
        ],
    })
    .to_string()
}
