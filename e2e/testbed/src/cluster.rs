//! A cluster with real pods: a control plane and one node, inside a sandbox. Needs root.
//!
//! All of it is gone when the [`Cluster`] is dropped or this program ends, in whatever way.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use kube::Client;

use crate::certificates::Authority;
use crate::control_plane::ControlPlane;
use crate::control_plane::Recorded;
use crate::control_plane::Settings;
use crate::debian;
use crate::environment::Environment;
use crate::image::Image;
use crate::node::Node;
use crate::node::Runtime;
use crate::run_folder::RunFolder;
use crate::sandbox::Sandbox;
use crate::tools::Set;
use crate::tools::Tools;

/// The Service `kubernetes` has the first address of the range.
const SERVICE_RANGE: &str = "10.96.0.0/16";
const SERVICE_KUBERNETES: &str = "10.96.0.1";
const PORT: u16 = 6443;

/// A running cluster with one node.
pub struct Cluster {
    // Dropped from top to bottom: the sandbox, and with it whatever still runs, at the end.
    node: Node,
    control_plane: ControlPlane,
    tools: Tools,
    sandbox: Sandbox,
}

impl Cluster {
    /// The tools it is made of.
    pub const TOOLS: [Set; 5] =
        [Set::Etcd, Set::ControlPlane, Set::Node, Set::Containerd, Set::Cni];

    /// Starts one and returns when its node is ready for pods.
    pub async fn start(tools: &Tools) -> Result<Self> {
        debian::ensure_node().await?;
        debian::ensure_rust_target(&crate::image::target()).await?;
        let sandbox = Sandbox::open().await?;
        let folder = RunFolder::create()?;
        let environment =
            Environment { sandbox: &sandbox, tools, folder: folder.path().to_owned() };
        let authority = Authority::create(folder.path().join("certificates"))?;
        let settings = settings(&sandbox, &authority)?;
        let (runtime, control_plane) = tokio::try_join!(
            Runtime::start(&environment),
            ControlPlane::start_with(tools, folder, authority, settings)
        )?;
        let node = Node::start(&environment, runtime, &control_plane).await?;
        Ok(Self { node, control_plane, tools: tools.clone(), sandbox })
    }

    /// A client that may do everything.
    #[must_use]
    pub fn client(&self) -> Client {
        self.control_plane.client()
    }

    /// The file that lets anybody on this machine do everything.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.control_plane.kubeconfig()
    }

    /// The node's address, as this machine and the pods know it.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.sandbox.network().inside.into()
    }

    /// The etcd, the API server and the controllers.
    #[must_use]
    pub const fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// What all of it runs in.
    #[must_use]
    pub const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Where more programs of this cluster may run.
    #[must_use]
    pub fn environment(&self) -> Environment<'_> {
        let folder = self.control_plane.folder().to_owned();
        Environment { sandbox: &self.sandbox, tools: &self.tools, folder }
    }

    /// Gives the node an image, so that pods need not pull it.
    pub async fn load(&self, image: &Image) -> Result<()> {
        self.node.runtime().load(&self.environment(), image).await
    }
}

/// The control plane of a cluster with pods: reached by them, and able to reach their node.
fn settings(sandbox: &Sandbox, authority: &Authority) -> Result<Settings> {
    let kubelet = authority.issue_client("kubelet-client", "kube-apiserver", &[])?;
    Ok(Settings {
        prefix: sandbox.prefix().into_iter().map(Into::into).collect(),
        address: sandbox.network().inside.into(),
        port: Some(PORT),
        service_range: SERVICE_RANGE.to_owned(),
        server_names: vec![SERVICE_KUBERNETES.to_owned()],
        api_server_arguments: vec![
            // Pods find the API server by the Service `kubernetes`.
            "--endpoint-reconciler-type=lease".to_owned(),
            format!("--kubelet-client-certificate={}", kubelet.certificate.display()),
            format!("--kubelet-client-key={}", kubelet.key.display()),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
        ],
        etcd_arguments: Vec::new(),
        controllers: "*".to_owned(),
        controller_manager_arguments: Vec::new(),
        recorded: Recorded::default(),
    })
}
