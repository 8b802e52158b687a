//! Promise: the operator's rights are worth no more than its copies to whoever gets hold of them. A
//! token of its ServiceAccount writes and deletes only what carries our label, and nothing in
//! protected namespaces.

use anyhow::Result;
use configmapsync::names::LABEL_SYNC_UID;
use configmapsync::names::POLICY_BOUNDS;
use e2e::attempt::Attempt;
use e2e::attempt::config_maps;
use e2e::control_plane::OPERATOR;
use e2e::replica::Pod;
use e2e::world::World;
use serde_json::Value;
use serde_json::json;

use crate::tries::Expected;
use crate::tries::Expected::Passes;
use crate::tries::Expected::RefusedBy;
use crate::tries::Tries;

const REFUSED: Expected<'static> = RefusedBy(POLICY_BOUNDS);
const PROTECTED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", OPERATOR];

fn config_map(name: &str, marked: bool) -> Value {
    let labels = if marked { json!({LABEL_SYNC_UID: "1-2"}) } else { json!({}) };
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": {"key": "value"},
    })
}

#[tokio::test]
async fn its_token_writes_nothing_but_copies() -> Result<()> {
    let world = World::start(0).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["app"]).await?;
    for name in ["foreign", "adopted"] {
        fixture.create_config_map("app", name, &[("key", "theirs")]).await?;
    }
    let pod = Pod::create(&world.control_plane, "thief", None).await?;
    let thief = pod.client().await?;
    let thief = ("the operator's token", &thief);
    let all = config_maps("app");
    let at = |name: &str| format!("{all}/{name}");
    let edit = json!({"data": {"key": "stolen"}});
    let label = |value: Value| json!({"metadata": {"labels": {LABEL_SYNC_UID: value}}});

    let mut tries = Tries::default();
    for (attempt, expected) in [
        (Attempt::create("create without our label", &all, config_map("mine", false)), REFUSED),
        (Attempt::merge("edit without our label", at("foreign"), edit.clone()), REFUSED),
        (Attempt::merge("edit kube-root-ca.crt", at("kube-root-ca.crt"), edit.clone()), REFUSED),
        (Attempt::delete("delete without our label", at("foreign")), REFUSED),
        (Attempt::create("create a copy", &all, config_map("copy", true)), Passes),
        (Attempt::merge("edit a copy", at("copy"), edit), Passes),
        (Attempt::merge("adopt", at("adopted"), label(json!("1-2"))), Passes),
        (Attempt::merge("release", at("adopted"), label(Value::Null)), Passes),
        (Attempt::delete("delete what was released", at("adopted")), REFUSED),
        (Attempt::delete("delete a copy", at("copy")), Passes),
    ] {
        tries.add(thief, &attempt, expected).await?;
    }
    tries.finish()
}

#[tokio::test]
async fn its_token_writes_nothing_in_protected_namespaces() -> Result<()> {
    let world = World::start(0).await?;
    let pod = Pod::create(&world.control_plane, "thief", None).await?;
    let (thief, admin) = (pod.client().await?, world.control_plane.client());
    let thief = ("the operator's token", &thief);
    let mut tries = Tries::default();
    for namespace in PROTECTED {
        let all = config_maps(namespace);
        let create = Attempt::create(format!("create in {namespace}"), &all, config_map("a", true));
        tries.add(thief, &create, REFUSED).await?;
        tries.add(("administrator", &admin), &create, Passes).await?;
        let at = format!("{all}/a");
        let edit = json!({"data": {"key": "stolen"}});
        let edit = Attempt::merge(format!("edit in {namespace}"), &at, edit);
        tries.add(thief, &edit, REFUSED).await?;
        let delete = Attempt::delete(format!("delete in {namespace}"), &at);
        tries.add(thief, &delete, REFUSED).await?;
    }
    tries.finish()
}
