//! Diagnostics after a failed step: pods, warning Events and the end of the operator's logs.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::Client;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::api::LogParams;
use testbed::helm::RELEASE;
use testbed::terminal::Screen;

use crate::operator_pods;

/// The maximum number of Events that are printed.
const EVENTS: usize = 15;
/// The number of lines that are printed of each log.
const LINES: i64 = 15;
/// The maximum number of characters of the message of an Event.
const MESSAGE: usize = 240;

/// Prints the diagnostics. A failed read does not prevent the others.
pub async fn print(client: &Client) {
    let pods = operator_pods::pods(client).await.unwrap_or_default();
    Screen::line("Pods:");
    Screen::show(&pods.iter().map(state).collect::<Vec<_>>());
    Screen::line("Warning Events:");
    Screen::show(&events(client).await);
    for pod in pods {
        let name = pod.name_any();
        let restarted = operator_pods::restarts(&pod) > 0;
        for previous in [true, false].into_iter().filter(|previous| restarted || !previous) {
            let which = if previous { " before its restart" } else { "" };
            Screen::line(&format!("Log of {name}{which}, last lines:"));
            Screen::show(&log(client, &name, previous).await);
        }
    }
}

/// The pod's phase and the state of its containers.
fn state(pod: &Pod) -> String {
    let Some(status) = &pod.status else { return pod.name_any() };
    let mut parts = vec![pod.name_any(), status.phase.clone().unwrap_or_default()];
    for container in status.container_statuses.iter().flatten() {
        parts.push(format!("ready={} restarts={}", container.ready, container.restart_count));
        let state = container.state.clone().unwrap_or_default();
        if let Some(waiting) = state.waiting {
            parts.extend([waiting.reason, waiting.message].into_iter().flatten());
        }
        if let Some(ended) = state.terminated {
            parts.push(format!("exit={}", ended.exit_code));
            parts.extend([ended.reason, ended.message].into_iter().flatten());
        }
    }
    parts.join("  ")
}

/// The latest warnings in all namespaces, oldest first, one per object and reason.
async fn events(client: &Client) -> Vec<String> {
    let events = Api::<Event>::all(client.clone()).list(&ListParams::default()).await;
    let mut events = events.map(|list| list.items).unwrap_or_default();
    events.retain(|event| event.type_.as_deref() == Some("Warning"));
    events.sort_by_key(|event| Reverse(event.creation_timestamp()));
    let mut seen = BTreeSet::new();
    events.retain(|event| {
        let object = event.involved_object.uid.clone();
        seen.insert((object, event.reason.clone()))
    });
    events.iter().take(EVENTS).rev().map(line).collect()
}

fn line(event: &Event) -> String {
    let object = &event.involved_object;
    let [kind, name] = [&object.kind, &object.name].map(|field| field.as_deref().unwrap_or("?"));
    let [reason, message] =
        [&event.reason, &event.message].map(|field| field.as_deref().unwrap_or_default());
    let message: String = message.replace('\n', " ").chars().take(MESSAGE).collect();
    format!("{kind} {name}: {reason}: {message}")
}

async fn log(client: &Client, pod: &str, previous: bool) -> Vec<String> {
    let pods = Api::<Pod>::namespaced(client.clone(), RELEASE);
    let parameters = LogParams { tail_lines: Some(LINES), previous, ..LogParams::default() };
    match pods.logs(pod, &parameters).await {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(kube::Error::Api(status)) => vec![format!("(no log: {})", status.message)],
        Err(error) => vec![format!("(reading the log failed: {error})")],
    }
}
