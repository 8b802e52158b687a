//! At no moment of an upgrade, an uninstallation or a later installation can a tenant write a
//! ConfigMapSync that reads or writes the namespace of another tenant.
//!
//! The tenant tries 20 times a second during each procedure, and once more, with every kind of attempt,
//! after each of its steps.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::cli::configmapsync;
use harness::documented::Shell;
use harness::unauthorized_tenant::UnauthorizedTenant;
use serde_json::Value;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::helm::Version;

use crate::support::charts::earlier_chart;

const NAMESPACE: &str = "--namespace configmapsync --create-namespace";
const CRDS: &str = "kubectl apply --kustomize deploy/crds";

/// A cluster, its administrator, and the tenant.
struct Procedure {
    control_plane: ControlPlane,
    tenant: UnauthorizedTenant,
}

impl Procedure {
    async fn start() -> Result<Self> {
        let control_plane = ControlPlane::start().await?;
        let tenant = UnauthorizedTenant::start(&control_plane).await?;
        Ok(Self { control_plane, tenant })
    }

    async fn shell(&self, helm: Version) -> Result<Shell> {
        Shell::with_helm(helm, self.control_plane.kubeconfig(), self.control_plane.folder()).await
    }

    /// Runs one step after the other. After each, every attempt is refused.
    async fn run(&self, shell: &Shell, steps: &[(String, String)]) -> Result<()> {
        for (step, script) in steps {
            shell.run(script).await.with_context(|| step.clone())?;
            self.tenant.ensure_refused(step).await?;
        }
        Ok(())
    }

    /// Fails if an attempt was admitted, however briefly.
    async fn finish(self) -> Result<()> {
        let counts = self.tenant.finish().await?;
        println!("{counts:?}");
        Ok(())
    }

    /// The objects of `folder`, in the order in which kubectl applies them.
    async fn objects(&self, folder: &str) -> Result<Vec<Value>> {
        let rendered = format!("kubectl kustomize {folder}");
        let rendered = self.shell(Version::V3).await?.run(&rendered).await?;
        Ok(serde_saphyr::from_multiple(&rendered)?)
    }
}

fn described(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// The policy with its binding, and the CRDs.
fn consent_and_kinds(crds: Vec<Value>) -> (Vec<Value>, Vec<Value>) {
    crds.into_iter().partition(|it| it["kind"] != "CustomResourceDefinition")
}

/// Each object in a step of its own.
fn one_by_one(verb: &str, objects: &[Value]) -> Vec<(String, String)> {
    objects
        .iter()
        .map(|object| {
            let script = format!("kubectl {verb} --filename - <<'END'\n{object}\nEND");
            (format!("{verb} {}", described(object)), script)
        })
        .collect()
}

/// The same objects of another version: each of them differs, and the policies in their specs.
fn upgraded(objects: &[Value], version: &str) -> Vec<Value> {
    let mut objects = objects.to_vec();
    for object in &mut objects {
        object["metadata"]["annotations"]["e2e/version"] = json!(version);
        if object["kind"] == "ValidatingAdmissionPolicy" {
            let variable = json!({"name": "unused", "expression": format!("'{version}'")});
            if let Some(variables) = object["spec"]["variables"].as_array_mut() {
                variables.push(variable);
            } else {
                object["spec"]["variables"] = json!([variable]);
            }
        }
    }
    objects
}

fn steps(steps: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(step, script): &(&str, &str)| ((*step).to_owned(), (*script).to_owned());
    steps.iter().map(owned).collect()
}

#[tokio::test]
async fn manifests_leave_no_gap() -> Result<()> {
    let procedure = Procedure::start().await?;
    let shell = procedure.shell(Version::V3).await?;
    let crds = procedure.objects("deploy/crds").await?;
    let operator = procedure.objects("deploy").await?;
    // The policy first: there is no kind yet that the tenant could write.
    let (consent, kinds) = consent_and_kinds(crds.clone());
    for (_, script) in one_by_one("apply", &[consent, kinds].concat()) {
        shell.run(&script).await?;
    }
    procedure.tenant.wait_enforced().await?;
    procedure.run(&shell, &one_by_one("apply", &operator)).await?;

    for version in ["2", "3"] {
        let objects = [upgraded(&crds, version), upgraded(&operator, version)].concat();
        procedure.run(&shell, &one_by_one("apply", &objects)).await?;
    }
    let done = configmapsync(procedure.control_plane.kubeconfig(), &["uninstall", "--yes"]).await?;
    ensure!(done.code == 0, "{done:?}");
    procedure.tenant.ensure_refused("uninstall").await?;
    let removed: Vec<_> = operator.iter().rev().cloned().collect();
    let delete = "delete --ignore-not-found --wait=false";
    procedure.run(&shell, &one_by_one(delete, &removed)).await?;
    let gone = "kubectl wait --for=delete --timeout=60s namespace/configmapsync";
    procedure.run(&shell, &steps(&[("without an operator", gone)])).await?;
    procedure.run(&shell, &one_by_one("apply", &[crds, operator].concat())).await?;
    // The policy stays while the kind is away, and applies to it when it is back.
    shell.run(&format!("kubectl delete crd configmapsyncs.apps.nishaf.info; {CRDS}")).await?;
    procedure.tenant.wait_enforced().await?;
    procedure.tenant.ensure_refused("the kind is back").await?;
    procedure.finish().await
}

/// Installations by `helm`, in the order of one cluster's life.
async fn life_with_helm(version: Version) -> Result<()> {
    let procedure = Procedure::start().await?;
    let shell = procedure.shell(version).await?;
    let earlier = earlier_chart(procedure.control_plane.folder())?;
    let install = "helm upgrade --install --reset-values configmapsync";
    let chart = format!("{install} chart {NAMESPACE}");
    let other = "helm upgrade --install other chart --namespace other --create-namespace";
    let uninstall = "helm uninstall configmapsync --namespace configmapsync --no-hooks --wait";
    shell.run(&format!("{install} {earlier} {NAMESPACE}")).await?;
    procedure.tenant.wait_enforced().await?;
    let options = "--set policies.marks=false --set policies.fence=false --set replicaCount=2";
    procedure
        .run(
            &shell,
            &steps(&[
                ("upgrade from the earlier layout", &chart),
                ("upgrade with other values", &format!("{chart} {options}")),
                ("upgrade back", &chart),
                ("rollback", "helm rollback configmapsync 3 --namespace configmapsync"),
                ("deploy/crds over the chart", CRDS),
                ("upgrade after deploy/crds", &chart),
                ("without crds.install", &format!("{chart} --set crds.install=false")),
                ("with crds.install", &chart),
                ("uninstall", uninstall),
                ("install again", &chart),
                ("uninstall again", uninstall),
                ("install under another name", &format!("{other} --take-ownership")),
                ("upgrade under that name", other),
                ("uninstall that name", &uninstall.replace("configmapsync", "other")),
                ("deploy/crds without an operator", CRDS),
                ("install with deploy/crds", &format!("{chart} --set crds.install=false")),
                ("take deploy/crds over", &format!("{chart} --take-ownership")),
            ]),
        )
        .await?;
    procedure.finish().await
}

#[tokio::test]
async fn helm_3_leaves_no_gap() -> Result<()> {
    life_with_helm(Version::V3).await
}

#[tokio::test]
async fn helm_4_leaves_no_gap() -> Result<()> {
    life_with_helm(Version::V4).await
}

/// The limit: a ConfigMapSync of the first seconds is stored. `check` lists each.
#[tokio::test]
async fn check_lists_what_the_first_installation_admitted() -> Result<()> {
    let procedure = Procedure::start().await?;
    let shell = procedure.shell(Version::V3).await?;
    let crds = procedure.objects("deploy/crds").await?;
    let (consent, kinds) = consent_and_kinds(crds);
    for (_, script) in one_by_one("apply", &kinds) {
        shell.run(&script).await?;
    }
    procedure.tenant.wait_admitted().await?;
    for (_, script) in one_by_one("apply", &consent) {
        shell.run(&script).await?;
    }
    procedure.tenant.wait_enforced().await?;
    procedure.tenant.ensure_refused("after the first installation").await?;
    let before = procedure.tenant.admitted_before();
    let checked = configmapsync(procedure.control_plane.kubeconfig(), &["check"]).await?;
    let listed = checked.stdout.lines().find(|line| line.contains("ConfigMapSyncs"));
    let listed = listed.with_context(|| format!("{checked:?}"))?;
    let words = format!("of {before}, {before} ");
    ensure!(listed.contains(&words), "{before} were admitted: {listed}");
    procedure.finish().await
}
