//! A running control plane.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use kube::Client;

use crate::audit::AuditLog;
use crate::audit::UsedPermissions;
use crate::certificates::Authority;
use crate::control_plane::programs::Programs;
use crate::control_plane::settings::Settings;
use crate::control_plane::startup::start_api_server;
use crate::control_plane::startup::wait_controllers;
use crate::control_plane::startup::wait_ready;
use crate::kubeconfig;
use crate::kubeconfig::Credential;
use crate::process::Process;
use crate::run_folder::RunFolder;
use crate::tools::Set;
use crate::tools::Tools;

/// The number of the API server that every control plane has.
const FIRST: usize = 0;

/// A running control plane.
pub struct ControlPlane {
    // Dropped from top to bottom: processes before the folder that they write into.
    controller_manager: Process,
    api_server: Process,
    etcd: Process,
    used_permissions: UsedPermissions,
    programs: Programs,
    port: u16,
    authority: Authority,
    kubeconfig: PathBuf,
    client: Client,
    audit: AuditLog,
    folder: RunFolder,
}

impl ControlPlane {
    /// Starts one with the default settings, having built its programs if need be.
    pub async fn start() -> Result<Self> {
        Self::start_as(Settings::default()).await
    }

    /// Starts one, having built its programs if need be.
    pub async fn start_as(settings: Settings) -> Result<Self> {
        let tools = Tools::ensure(&[Set::Etcd, Set::ControlPlane]).await?;
        let folder = RunFolder::create()?;
        let authority = Authority::create(folder.path().join("certificates"))?;
        Self::start_with(&tools, folder, authority, settings).await
    }

    /// Starts one, and returns when it is ready and its controllers run.
    pub async fn start_with(
        tools: &Tools,
        folder: RunFolder,
        authority: Authority,
        settings: Settings,
    ) -> Result<Self> {
        let programs = Programs::prepare(folder.path().to_owned(), tools, &authority, settings)?;
        let etcd = programs.etcd()?.start()?;
        let (api_server, port) = start_api_server(&programs, FIRST).await?;
        let server = programs.server(port);
        let write = |file: PathBuf, user: &str| {
            let files = authority.issue_client(user, user, &["system:masters"])?;
            let credential = Credential::Certificate(files);
            let text = kubeconfig::render(&server, authority.certificate(), &credential)?;
            fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            anyhow::Ok(file)
        };
        let kubeconfig = write(folder.path().join("admin.kubeconfig"), "admin")?;
        write(programs.controllers_kubeconfig(), "system:kube-controller-manager")?;
        let client = kubeconfig::client(&kubeconfig).await?;
        wait_ready(&client, &etcd, &api_server).await?;
        let controller_manager = programs.controller_manager()?.start()?;
        wait_controllers(&client, &controller_manager).await?;
        let audit = AuditLog::new(programs.audit_log(FIRST), client.clone());
        Ok(Self {
            controller_manager,
            api_server,
            etcd,
            used_permissions: UsedPermissions::of(folder.path().to_owned()),
            programs,
            port,
            authority,
            kubeconfig,
            client,
            audit,
            folder,
        })
    }

    /// A client that may do everything (user `admin`, group `system:masters`).
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The file that lets anybody do everything.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The text of a kubeconfig with another credential.
    pub fn kubeconfig_for(&self, credential: &Credential) -> Result<String> {
        kubeconfig::render(&self.server(), self.authority.certificate(), credential)
    }

    /// The URL of the API server.
    #[must_use]
    pub fn server(&self) -> String {
        self.programs.server(self.port)
    }

    /// What issues certificates for this cluster.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The folder with logs, keys and data; a place for more of them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The programs that this cluster was built from.
    #[must_use]
    pub const fn tools(&self) -> &Tools {
        &self.programs.tools
    }

    /// What was asked of the API server.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        self.audit.clone()
    }

    /// From the start, the operator's ServiceAccounts have Roles in some namespaces instead of permissions
    /// in all: what they use is recorded apart, by the kind of the role that grants it.
    pub fn record_permissions_as_limited(&self) {
        self.used_permissions.set_limited();
    }

    /// The process of etcd, to be frozen or killed.
    #[must_use]
    pub const fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// The process of the API server, to be frozen or killed.
    #[must_use]
    pub const fn api_server(&self) -> &Process {
        &self.api_server
    }

    /// The process of the controllers.
    #[must_use]
    pub const fn controller_manager(&self) -> &Process {
        &self.controller_manager
    }

    /// Ends the API server, if it runs, and starts it again at the same address.
    pub async fn restart_api_server(&mut self) -> Result<()> {
        if self.api_server.exit_status()?.is_none() {
            self.api_server.kill()?;
        }
        self.api_server = self.programs.api_server(FIRST, self.port)?.start()?;
        wait_ready(&self.client, &self.etcd, &self.api_server).await
    }

    /// Ends etcd, if it runs, and starts it again with the data that it had.
    pub async fn restart_etcd(&mut self) -> Result<()> {
        if self.etcd.exit_status()?.is_none() {
            self.etcd.kill()?;
        }
        self.etcd = self.programs.etcd()?.start()?;
        wait_ready(&self.client, &self.etcd, &self.api_server).await
    }

    pub(super) const fn programs(&self) -> &Programs {
        &self.programs
    }
}
