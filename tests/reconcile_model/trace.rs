//! A path of the model as text.

use crate::model::Step;
use crate::names::Namespace;
use crate::names::PLACES;
use crate::names::Sync;
use crate::names::at;
use crate::names::namespace_name;
use crate::names::sync_name;
use crate::object::MARKERS;
use crate::spec::Edit;
use crate::state::COLLECTOR;
use crate::state::FINALIZER;
use crate::state::InFlight;
use crate::state::Kind;
use crate::state::Slot;
use crate::state::State;
use crate::state::Writer;
use crate::users::Act;
use crate::users::Flavour;

/// The path as text, one line per step.
pub fn describe(path: &[(State, Option<Step>)]) -> Vec<String> {
    let steps = path.iter().zip(path.iter().skip(1));
    let lines =
        steps.filter_map(|((before, step), (after, _))| step.map(|step| line(before, step, after)));
    lines.collect()
}

fn line(before: &State, step: Step, after: &State) -> String {
    match step {
        Step::User(act) => format!("a user {}", describe_act(before, act)),
        Step::FinishNamespace(it) => format!("namespace {} is gone", namespace_name(it)),
        Step::ObserveSync(sync) => format!("the operator observes {}", sync_name(sync)),
        Step::ObserveConfigMaps => "the operator observes the ConfigMaps".to_owned(),
        Step::ObserveNamespaces => "the operator observes the namespaces".to_owned(),
        Step::Reconcile(sync) if before.world != after.world => {
            format!("{}: report", sync_name(sync))
        }
        Step::Reconcile(sync) => decided(&sync_name(sync).to_string(), sync, after),
        Step::Collect => decided("orphan collection", COLLECTOR, after),
        Step::Store(writer, slot) => arrival(before.flight[writer][slot], slot, before, after),
        Step::StoreLate(place) => arrival(before.late[place], place, before, after),
        Step::Crash(None) => "the leader crashes; another one lists everything".to_owned(),
        Step::Crash(Some(it)) => {
            let name = namespace_name(it);
            format!("the leader crashes; another one lists everything but namespace {name}")
        }
        Step::Minute => "a minute passes".to_owned(),
        Step::Grace => "the grace period passes".to_owned(),
    }
}

fn decided(who: &str, writer: Writer, after: &State) -> String {
    let sent: Vec<_> = (0..=PLACES)
        .filter_map(|slot| {
            let write = after.flight[writer][slot]?;
            Some(describe_write(write.write.kind, slot))
        })
        .collect();
    format!("{who}: {}", if sent.is_empty() { "nothing".to_owned() } else { sent.join(", ") })
}

fn describe_write(kind: Kind, slot: Slot) -> String {
    let verb = match kind {
        Kind::Create => "create",
        Kind::Update => "update",
        Kind::Restamp => "restamp",
        Kind::Replace => "replace",
        Kind::Release => "release",
        Kind::Delete => "delete",
        Kind::AddFinalizer => "add the finalizer",
        Kind::RemoveFinalizer => "remove the finalizer",
    };
    if slot == FINALIZER { verb.to_owned() } else { format!("{verb} {}", at(slot)) }
}

fn arrival(sent: Option<InFlight>, slot: Slot, before: &State, after: &State) -> String {
    let kind = sent.map(|sent| sent.write.kind);
    let outcome = if before.world == after.world { "refused" } else { "stored" };
    format!("{outcome}: {}", kind.map(|kind| describe_write(kind, slot)).unwrap_or_default())
}

fn describe_act(before: &State, act: Act) -> String {
    match act {
        Act::CreateSync(sync) => format!("creates {}", sync_name(sync)),
        Act::DeleteSync(sync) => format!("deletes {}", sync_name(sync)),
        Act::RemoveFinalizer(sync) => format!("removes the finalizer of {}", sync_name(sync)),
        Act::EditSpec(sync, edit) => describe_edit(before, sync, edit),
        Act::WriteSource(content) => format!("writes content {content} into the source"),
        Act::DeleteSource => "deletes the source".to_owned(),
        Act::ForbidSource => "forbids or allows to copy the source".to_owned(),
        Act::Create(place, flavour) => {
            let flavour = match flavour {
                Flavour::Plain => "a ConfigMap",
                Flavour::Owned => "an owned ConfigMap",
                Flavour::Immutable => "an immutable ConfigMap",
                Flavour::Managed => "a managed ConfigMap",
            };
            format!("creates {flavour} {}", at(place))
        }
        Act::Edit(place) => format!("edits {}", at(place)),
        Act::EditLabel(place) => format!("edits the label of {}", at(place)),
        Act::Delete(place) => format!("deletes {}", at(place)),
        Act::Clone(from, to) => format!("clones {} as {}", at(from), at(to)),
        Act::Restore(place, true) => format!("restores {} with its managedFields", at(place)),
        Act::Restore(place, false) => format!("restores {}", at(place)),
        Act::RestoreMany => "restores many copies of other syncs".to_owned(),
        Act::RemoveMarker(place, marker) => {
            format!("removes {} from {}", MARKERS[marker].1, at(place))
        }
        Act::AddMarker(place, marker) => format!("adds {} to {}", MARKERS[marker].1, at(place)),
        Act::LabelNamespace(it) => {
            let verb = if before.world.namespaces[it].is_labelled { "unlabels" } else { "labels" };
            format!("{verb} {}", namespace(it))
        }
        Act::DeleteNamespace(it) => format!("deletes {}", namespace(it)),
        Act::CreateNamespace(it) => format!("creates {}", namespace(it)),
        Act::ProtectNamespace(it) => {
            let is_protected = before.world.namespaces[it].is_protected;
            let verb = if is_protected { "no longer protects" } else { "protects" };
            format!("{verb} {}, and restarts the operator", namespace(it))
        }
    }
}

fn namespace(namespace: Namespace) -> String {
    format!("namespace {}", namespace_name(namespace))
}

fn describe_edit(before: &State, sync: Sync, edit: Edit) -> String {
    let name = sync_name(sync);
    let Some(stored) = before.world.syncs[sync] else { return format!("edits {name}") };
    let spec = stored.spec.edited(edit);
    let choose = |it: bool, yes: &'static str, no: &'static str| if it { yes } else { no };
    let change = match edit {
        Edit::Destination(Some(it)) => format!("destinationNamespace: {}", namespace_name(it)),
        Edit::Destination(None) => "destinationNamespaceSelector".to_owned(),
        Edit::Name => format!("destinationName: {}", choose(spec.has_other_name, "t", "none")),
        Edit::Keys => format!("keys: {}", choose(spec.lists_keys, "a", "all")),
        Edit::Label => format!("destinationMetadata: {}", choose(spec.has_label, "team", "none")),
        Edit::DeletionPolicy => {
            format!("deletionPolicy: {}", choose(spec.retains, "Retain", "Delete"))
        }
        Edit::SourceDeletionPolicy => {
            format!("sourceDeletionPolicy: {}", choose(spec.follows_source, "Delete", "Retain"))
        }
        Edit::ConflictPolicy => {
            format!("conflictPolicy: {}", choose(spec.adopts, "Adopt", "Refuse"))
        }
        Edit::Suspend => format!("suspend: {}", spec.is_suspended),
    };
    format!("sets {change} in {name}")
}
