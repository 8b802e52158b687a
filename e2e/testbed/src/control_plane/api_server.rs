//! An additional API server on the etcd of a control plane, as in a highly available cluster.

use std::fs;

use anyhow::Context;
use anyhow::Result;
use kube::Client;

use crate::audit::AuditLog;
use crate::control_plane::running::ControlPlane;
use crate::control_plane::startup::start_api_server;
use crate::control_plane::startup::wait_ready;
use crate::kubeconfig;
use crate::kubeconfig::Credential;
use crate::process::Process;
use crate::process::Program;

/// A running API server. Dropped, it is killed.
pub struct ApiServer {
    process: Process,
    program: Program,
    server: String,
    client: Client,
    audit: AuditLog,
}

impl ControlPlane {
    /// Starts another API server that shares etcd and all keys with the first, and has its own audit
    /// log. `number` is unique within this control plane.
    pub async fn another_api_server(&self, number: usize) -> Result<ApiServer> {
        let programs = self.programs();
        let (process, port) = start_api_server(programs, number).await?;
        let program = programs.api_server(number, port)?;
        let server = programs.server(port);
        let client = self.admin_of(&server, &format!("admin-{number}")).await?;
        wait_ready(&client, self.etcd(), &process).await?;
        let audit = AuditLog::new(programs.audit_log(number), client.clone());
        Ok(ApiServer { process, program, server, client, audit })
    }

    async fn admin_of(&self, server: &str, name: &str) -> Result<Client> {
        let credential = self.authority().issue_client(name, "admin", &["system:masters"])?;
        let credential = Credential::Certificate(credential);
        let text = kubeconfig::render(server, self.authority().certificate(), &credential)?;
        let file = self.folder().join(format!("{name}.kubeconfig"));
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        kubeconfig::client(&file).await
    }
}

impl ApiServer {
    /// Its URL.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A client with cluster-admin permissions.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Its audit log.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        self.audit.clone()
    }

    /// Its process, to be frozen or killed.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it, if it runs, and starts it again at the same address.
    pub async fn restart(&mut self, control_plane: &ControlPlane) -> Result<()> {
        if self.process.exit_status()?.is_none() {
            self.process.kill()?;
        }
        self.process = self.program.start()?;
        wait_ready(&self.client, control_plane.etcd(), &self.process).await
    }
}
