//! Which rights the operator has used, of all that a whole run of tests has asked its API servers.
//!
//! With `E2E_USED_RIGHTS` in the environment, each control plane adds to that file, when it ends,
//! the rights that its audit logs show in use. The program `rights` compares them with what is
//! granted.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::Deserialize;

use crate::accounts::OPERATOR_USER;
use crate::accounts::UNINSTALL_USER;
use crate::audit::event::Event;
use crate::audit::event::ObjectReference;
use crate::audit::event::ResponseStatus;
use crate::audit::event::User;
use crate::audit::head::RECEIVED;

/// Names the file.
const FILE: &str = "E2E_USED_RIGHTS";
/// Status codes of requests without permission.
const REFUSED: [u16; 2] = [401, 403];

/// The accounts whose permissions the manifests grant, and a short name for each.
pub const ACCOUNTS: [(&str, &str); 2] =
    [(OPERATOR_USER, "operator"), (UNINSTALL_USER, "uninstall")];

/// Records the used permissions when dropped, after the API servers beside it have ended.
pub(crate) struct UsedPermissions {
    logs: PathBuf,
    is_limited: AtomicBool,
}

/// The relevant part of a line of the audit log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI", default)]
    request_uri: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectReference,
    #[serde(default)]
    response_status: ResponseStatus,
}

/// Each permission that `rules` grant to `account`, as one line.
pub fn granted<'a>(account: &'a str, rules: &'a [PolicyRule]) -> impl Iterator<Item = String> + 'a {
    let all = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
    rules.iter().flat_map(move |rule| {
        let (groups, verbs) = (all(&rule.api_groups), rule.verbs.clone());
        all(&rule.resources).into_iter().flat_map(move |resource| {
            let (groups, verbs) = (groups.clone(), verbs.clone());
            groups.into_iter().flat_map(move |group| {
                let right = |verb: &String| right(account, verb, &resource, &group);
                verbs.iter().map(right).collect::<Vec<_>>()
            })
        })
    })
}

/// The name of an account that is limited to some namespaces, for what a role of this kind grants it.
#[must_use]
pub fn limited(account: &str, role: &str) -> String {
    format!("{account}, {role}")
}

/// The right that a request has used, as [`granted`] words it.
#[must_use]
pub fn used_by(account: &str, event: &Event) -> String {
    right_to(account, &event.verb, &event.object_ref)
}

fn right_to(account: &str, verb: &str, of: &ObjectReference) -> String {
    let slash = if of.subresource.is_empty() { "" } else { "/" };
    right(account, verb, &format!("{}{slash}{}", of.resource, of.subresource), &of.api_group)
}

fn right(account: &str, verb: &str, resource: &str, group: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{account:<24}{verb:<7} {resource}{dot}{group}")
}

// === impl Line ===

impl Line {
    /// Whether this is API discovery, which the built-in role `system:discovery` grants to every
    /// authenticated user.
    fn is_discovery(&self) -> bool {
        let path = self.request_uri.split('?').next().unwrap_or_default();
        let root = path.trim_start_matches('/').split('/').next();
        self.verb == "get"
            && self.object_ref.resource.is_empty()
            && root.is_some_and(|root| ["api", "apis"].contains(&root))
    }
}

// === impl UsedPermissions ===

impl UsedPermissions {
    /// Of what the audit logs in the folder `logs` will hold in the end.
    pub(crate) const fn of(logs: PathBuf) -> Self {
        Self { logs, is_limited: AtomicBool::new(false) }
    }

    /// The accounts are limited to some namespaces.
    pub(crate) fn set_limited(&self) {
        self.is_limited.store(true, Ordering::Relaxed);
    }
}

impl Drop for UsedPermissions {
    fn drop(&mut self) {
        if let Some(file) = env::var_os(FILE)
            && let Err(error) =
                add(&self.logs, self.is_limited.load(Ordering::Relaxed), Path::new(&file))
        {
            eprintln!("cannot record the used permissions: {error:#}");
        }
    }
}

fn add(logs: &Path, is_limited: bool, to: &Path) -> Result<()> {
    let mut rights = BTreeSet::new();
    for entry in fs::read_dir(logs)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("audit.log") {
            used(&path, is_limited, &mut rights)
                .with_context(|| format!("reading {}", path.display()))?;
        }
    }
    let text: String = rights.into_iter().map(|right| right + "\n").collect();
    let context = || format!("adding to {}", to.display());
    let mut file = OpenOptions::new().create(true).append(true).open(to).with_context(context)?;
    // At once, since other tests add to it as well.
    file.write_all(text.as_bytes()).with_context(context)
}

fn used(log: &Path, is_limited: bool, rights: &mut BTreeSet<String>) -> Result<()> {
    for line in BufReader::new(File::open(log)?).split(b'\n') {
        // The last one may be half written.
        let Ok(line) = serde_json::from_slice::<Line>(&line?) else { continue };
        // Whether it is refused is not known before it is answered.
        if line.stage == RECEIVED {
            continue;
        }
        let account = ACCOUNTS.iter().find(|(user, _)| *user == line.user.username);
        let refused = REFUSED.contains(&line.response_status.code);
        if let (Some((_, account)), false) = (account, refused || line.is_discovery()) {
            let account = match (is_limited, line.object_ref.namespace.is_empty()) {
                (false, _) => (*account).to_owned(),
                (true, true) => limited(account, "ClusterRole"),
                (true, false) => limited(account, "Role"),
            };
            rights.insert(right_to(&account, &line.verb, &line.object_ref));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The lines that the audit log `lines` adds, whose requests are by `account`.
    fn recorded(is_limited: bool, lines: &[String]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1-audit.log"), lines.concat() + "{\"verb\"").unwrap();
        let file = folder.path().join("rights");
        add(folder.path(), is_limited, &file).unwrap();
        fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
    }

    fn line(stage: &str, code: u16, verb: &str, namespace: &str) -> String {
        let line = json!({
            "stage": stage,
            "verb": verb,
            "user": {"username": OPERATOR_USER},
            "objectRef": {
                "resource": "configmapsyncs",
                "subresource": "status",
                "apiGroup": "apps.nishaf.info",
                "namespace": namespace,
            },
            "responseStatus": {"code": code},
        });
        format!("{line}\n")
    }

    fn rules() -> Vec<PolicyRule> {
        let rule = json!({
            "apiGroups": ["apps.nishaf.info"],
            "resources": ["configmapsyncs/status"],
            "verbs": ["patch"],
        });
        vec![serde_json::from_value(rule).unwrap()]
    }

    #[test]
    fn a_right_reads_the_same_whether_granted_or_used() {
        let discovery = |uri: &str| {
            let line = json!({
                "stage": "ResponseComplete",
                "verb": "get",
                "requestURI": uri,
                "user": {"username": OPERATOR_USER},
                "responseStatus": {"code": 200},
            });
            format!("{line}\n")
        };
        let lines = [
            discovery("/apis/apps.nishaf.info/v1"),
            discovery("/apis"),
            discovery("/api?timeout=32s"),
            line(RECEIVED, 0, "delete", "a"),
            line("ResponseComplete", 409, "patch", "a"),
            line("ResponseComplete", 403, "delete", "a"),
        ];
        let granted: Vec<_> = granted("operator", &rules()).collect();
        assert_eq!(recorded(false, &lines), granted);
    }

    #[test]
    fn limited_rights_are_apart_by_the_kind_of_role() {
        for (namespace, role) in [("a", "Role"), ("", "ClusterRole")] {
            let lines = [line("ResponseComplete", 200, "patch", namespace)];
            let granted: Vec<_> = granted(&limited("operator", role), &rules()).collect();
            assert_eq!(recorded(true, &lines), granted);
        }
    }
}
