//! A path of the model as text.

use crate::model::ElectionModel;
use crate::model::Step;
use crate::state::Holder;
use crate::state::Operation;
use crate::state::Pod;
use crate::state::Request;
use crate::state::State;
use crate::state::Violation;

/// The path as text, one line per step.
pub fn describe(model: &ElectionModel, path: &[(State, Option<Step>)]) -> Vec<String> {
    let steps = path.iter().zip(path.iter().skip(1));
    let lines = steps.filter_map(|((before, step), (after, _))| {
        step.map(|step| line(model, before, step, after))
    });
    lines.collect()
}

fn line(model: &ElectionModel, before: &State, step: Step, after: &State) -> String {
    match step {
        Step::Tick => tick(model, before, after),
        Step::ReadRecord(pod) if after.replicas[pod].found_no_record => {
            format!("{} finds no leader record", name(pod))
        }
        Step::ReadRecord(pod) => format!("{} finds a leader record", name(pod)),
        Step::ReadPod(pod) if after.replicas[pod].call.is_some() => {
            format!("{}, and requests to acquire it", read_pod(before, pod))
        }
        Step::ReadPod(pod) => read_pod(before, pod),
        Step::ReadLease(pod) => read_lease(before, pod, after),
        Step::Respond(pod) => arrival(before, pod, before.replicas[pod].call, "", after),
        Step::ArriveLate(pod) => arrival(before, pod, before.replicas[pod].late, "late ", after),
        Step::TimeOut(pod) => format!("{}'s request for the Lease times out", name(pod)),
        Step::Publish(pod) if !after.replicas[pod].role.leads() => {
            format!("{} finds that it no longer leads", name(pod))
        }
        Step::Publish(pod) => format!("{} requests to publish its record", name(pod)),
        Step::StoreRecord(pod) => format!("{}'s record is published", name(pod)),
        Step::TimeOutPublication(pod) => format!("{}'s publication times out", name(pod)),
        Step::SendWrite(pod) => format!("{} sends a write", name(pod)),
        Step::AdmitWrite(pod) => match before.recorded.filter(|recorded| *recorded != pod) {
            Some(newest) => format!(
                "{}'s write is admitted by an API server that does not have the record of {} yet",
                name(pod),
                name(newest),
            ),
            None => format!("{}'s write is admitted", name(pod)),
        },
        Step::StoreWrite(pod) if after.violation == Some(Violation::CreatedAfterRemoval) => {
            format!("{}'s write is stored, after the finalizer was removed", name(pod))
        }
        Step::StoreWrite(pod) if after.terms.are_interleaved() => {
            format!("{}'s write is stored, after a write of a later term", name(pod))
        }
        Step::StoreWrite(pod) => format!("{}'s write is stored", name(pod)),
        Step::RemoveFinalizer(pod) => format!("{} removes a finalizer", name(pod)),
        Step::Release(pod) => {
            format!("{} stops: it requests to release the Lease and restarts", name(pod))
        }
        Step::Restart(pod) => format!("{} restarts", name(pod)),
        Step::DeleteLease => "a user deletes the Lease".to_owned(),
        Step::DeleteRecord => "a user deletes the leader record".to_owned(),
        Step::EmptyLease => "a user empties the Lease".to_owned(),
    }
}

fn name(pod: Pod) -> char {
    ['A', 'B', 'C'][pod]
}

fn tick(model: &ElectionModel, before: &State, after: &State) -> String {
    let leads = |state: &State, pod: Pod| state.replicas[pod].role.leads();
    let ended = model.pods().filter(|pod| leads(before, *pod) && !leads(after, *pod));
    let ended: Vec<_> = ended.map(|pod| format!("; {}'s lead ends", name(pod))).collect();
    format!("a tick passes{}", ended.concat())
}

/// The Lease, as seen by `reader`.
fn describe_lease(state: &State, reader: Pod, is_expired: bool) -> String {
    let expired = if is_expired { "expired " } else { "" };
    match state.lease.map(|lease| lease.holder) {
        None => "no Lease".to_owned(),
        Some(Holder::None) => "a Lease without holder".to_owned(),
        Some(Holder::Process(pod)) if pod == reader => format!("its own {expired}Lease"),
        Some(Holder::Process(pod)) => format!("{}'s {expired}Lease", name(pod)),
        Some(Holder::Ended) => format!("the {expired}Lease of an ended process"),
    }
}

fn read_pod(before: &State, pod: Pod) -> String {
    let reader = name(pod);
    match before.lease.map(|lease| lease.holder) {
        Some(Holder::Process(holder)) => {
            format!(
                "{reader} concludes that the holder of the Lease has ended, but {} runs",
                name(holder)
            )
        }
        _ => format!("{reader} finds that the holder of the Lease has ended"),
    }
}

fn read_lease(before: &State, pod: Pod, after: &State) -> String {
    let call = after.replicas[pod].call;
    // A Lease with a holder is acquired only after it has expired, or with proof.
    let is_expired = call.is_some_and(|it| matches!(it.operation, Operation::Acquire { .. }))
        && !before.replicas[pod].has_proof;
    let (reader, lease) = (name(pod), describe_lease(before, pod, is_expired));
    match call {
        Some(request) => {
            format!("{reader} finds {lease} and requests to {} it", verb(request.operation))
        }
        None if before.replicas[pod].role.leads() => format!("{reader} finds {lease} and ends"),
        None => format!("{reader} finds {lease}"),
    }
}

const fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Acquire { .. } => "acquire",
        Operation::Renew => "renew",
        Operation::Release => "release",
    }
}

fn arrival(
    before: &State,
    pod: Pod,
    request: Option<Request>,
    late: &str,
    after: &State,
) -> String {
    let operation = request.map_or("", |request| verb(request.operation));
    let request = format!("{}'s {late}request to {operation} the Lease", name(pod));
    let leads = |state: &State| state.replicas[pod].role.leads();
    let outcome = match (leads(before), leads(after)) {
        (false, true) => format!("; {} leads", name(pod)),
        (true, false) => format!("; {} ends", name(pod)),
        _ => String::new(),
    };
    let holder = |state: &State| match state.lease.map(|lease| lease.holder) {
        Some(Holder::Process(holder)) if holder != pod => Some(name(holder)),
        _ => None,
    };
    let holder = match (holder(before), holder(after)) {
        (_, Some(holder)) => format!("; its holder is {holder}"),
        (Some(holder), None) => format!("; its holder was {holder}"),
        (None, None) => String::new(),
    };
    format!("{request} arrives{holder}{outcome}")
}
