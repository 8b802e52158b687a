//! What each set of tools consists of.

use std::path::Path;
use std::path::PathBuf;

/// The version that the Kubernetes programs report, and Helm assumes without a cluster.
///
/// Programs built from a module do not know their version; kubectl cannot parse the default.
const KUBERNETES: &str = "-X k8s.io/component-base/version.gitVersion=v1.35.4 \
     -X k8s.io/component-base/version.gitMajor=1 \
     -X k8s.io/component-base/version.gitMinor=35";
const HELM: &str = "-X helm.sh/helm/v3/internal/version.version=v3.22.0 \
     -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 \
     -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=35 \
     -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 \
     -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=35";
const HELM_4: &str = "-X helm.sh/helm/v4/internal/version.version=v4.3.2";

/// Programs that are built and wanted together.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Set {
    /// etcd.
    Etcd,
    /// kube-apiserver, kube-controller-manager, kubectl: with etcd, a cluster without pods.
    ControlPlane,
    /// kubelet, kube-proxy, kube-scheduler.
    Node,
    /// containerd, its runc shim and ctr.
    Containerd,
    /// The network plugins bridge, loopback, host-local and portmap.
    Cni,
    /// Helm 3.
    Helm,
    /// Helm 4.
    Helm4,
    /// Jaeger, all in one.
    Jaeger,
    /// cargo-about, which the build of the image uses. It is a Rust program; all others are Go.
    CargoAbout,
}

impl Set {
    /// Every set, in the order in which a first build makes most sense.
    pub const ALL: [Self; 9] = [
        Self::Etcd,
        Self::ControlPlane,
        Self::Node,
        Self::Containerd,
        Self::Cni,
        Self::Helm,
        Self::Helm4,
        Self::Jaeger,
        Self::CargoAbout,
    ];

    /// The name of the set: its folder below `tools/`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ControlPlane => "control-plane",
            Self::Node => "node",
            Self::Containerd => "containerd",
            Self::Cni => "cni",
            Self::Helm => "helm",
            Self::Helm4 => "helm4",
            Self::Jaeger => "jaeger",
            Self::CargoAbout => "cargo-about",
        }
    }

    /// The programs in the set.
    #[must_use]
    pub const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Etcd => &["etcd"],
            Self::ControlPlane => &["kube-apiserver", "kube-controller-manager", "kubectl"],
            Self::Node => &["kubelet", "kube-proxy", "kube-scheduler"],
            Self::Containerd => &["containerd", "containerd-shim-runc-v2", "ctr"],
            Self::Cni => &["bridge", "host-local", "loopback", "portmap"],
            Self::Helm => &["helm"],
            Self::Helm4 => &["helm4"],
            Self::Jaeger => &["jaeger"],
            Self::CargoAbout => &["cargo-about"],
        }
    }

    /// The folder with the set's `go.mod` and `go.sum`.
    pub(super) fn module(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(self.name())
    }

    /// The folder that replaces a build, if `assets` has one.
    pub(super) fn provided(self, assets: Option<&Path>) -> Option<PathBuf> {
        assets.filter(|_| self == Self::Etcd).map(Path::to_owned)
    }

    /// A program whose name differs from its Go package: the name in Go, and ours.
    pub(super) const fn renamed(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Etcd => Some(("server", "etcd")),
            Self::Helm4 => Some(("helm", "helm4")),
            Self::Jaeger => Some(("all-in-one", "jaeger")),
            Self::CargoAbout => Some(("bin/cargo-about", "cargo-about")),
            _ => None,
        }
    }

    pub(super) fn linker_flags(self) -> String {
        let version = match self {
            Self::ControlPlane | Self::Node => KUBERNETES,
            Self::Helm => HELM,
            Self::Helm4 => HELM_4,
            _ => "",
        };
        format!("-s -w {version}")
    }

    /// Build tags, which leave out what needs C libraries.
    pub(super) const fn tags(self) -> &'static str {
        match self {
            Self::Containerd => "no_btrfs,no_zfs,no_devmapper",
            _ => "",
        }
    }
}
