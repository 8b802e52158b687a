//! A path of the model in words, a step a line.

use crate::election::Election;
use crate::election::Step;
use crate::world::Ask;
use crate::world::Holder;
use crate::world::Pod;
use crate::world::Request;
use crate::world::World;

/// What happens on a path, a step a line.
pub fn tell(election: &Election, path: &[(World, Option<Step>)]) -> Vec<String> {
    let steps = path.iter().zip(path.iter().skip(1));
    let lines = steps.filter_map(|((before, step), (after, _))| {
        step.map(|step| line(election, before, step, after))
    });
    lines.collect()
}

fn line(election: &Election, before: &World, step: Step, after: &World) -> String {
    match step {
        Step::Tick => tick(election, before, after),
        Step::Look(pod) => look(before, pod, after),
        Step::Answer(pod) => arrival(before, pod, before.replicas[pod].call, "", after),
        Step::Late(pod) => arrival(before, pod, before.replicas[pod].late, "late ", after),
        Step::GiveUp(pod) => format!("{} waits no longer for an answer", name(pod)),
        Step::Announce(pod) => format!("{} asks to be announced", name(pod)),
        Step::Announced(pod) => format!("{} is announced", name(pod)),
        Step::ForgetAnnouncement(pod) => format!("{} waits no longer to be announced", name(pod)),
        Step::Send(pod) => format!("{} sends a write", name(pod)),
        Step::LetIn(pod) => match before.announced.filter(|announced| *announced != pod) {
            Some(newest) => format!(
                "{}'s write is let in by an API server that does not know of {} yet",
                name(pod),
                name(newest),
            ),
            None => format!("{}'s write is let in", name(pod)),
        },
        Step::Store(pod) if after.terms.are_mixed() => {
            format!("{}'s write is stored, after one of a later term", name(pod))
        }
        Step::Store(pod) => format!("{}'s write is stored", name(pod)),
        Step::Retire(pod) => {
            format!("{} is to stop: it asks to release the Lease, and begins anew", name(pod))
        }
        Step::Restart(pod) => format!("{} ends, and begins anew", name(pod)),
        Step::Delete => "somebody deletes the Lease".to_owned(),
        Step::Empty => "somebody empties the Lease".to_owned(),
    }
}

fn name(pod: Pod) -> char {
    ['A', 'B', 'C'][pod]
}

fn tick(election: &Election, before: &World, after: &World) -> String {
    let leads = |world: &World, pod: Pod| world.replicas[pod].role.leads();
    let ended = election.pods().filter(|pod| leads(before, *pod) && !leads(after, *pod));
    let ended: Vec<_> = ended.map(|pod| format!("; {}'s time is over", name(pod))).collect();
    format!("a tick passes{}", ended.concat())
}

/// Whose the Lease is.
fn whose(world: &World, reader: Pod) -> String {
    match world.lease.map(|lease| lease.holder) {
        None => "no Lease".to_owned(),
        Some(Holder::Nobody) => "a Lease that nobody holds".to_owned(),
        Some(Holder::Process(pod)) if pod == reader => "its own Lease".to_owned(),
        Some(Holder::Process(pod)) => format!("{}'s Lease", name(pod)),
        Some(Holder::Gone) => "the Lease of a process that ended".to_owned(),
    }
}

fn look(before: &World, pod: Pod, after: &World) -> String {
    let (reader, lease) = (name(pod), whose(before, pod));
    match after.replicas[pod].call {
        Some(Request { ask: Ask::Acquire { .. }, .. }) => {
            let is_held = before.lease.is_some_and(|lease| lease.holder != Holder::Nobody);
            let state = if is_held { " expired" } else { "" };
            format!("{reader} finds {lease}{state}, and asks to acquire it")
        }
        Some(request) => format!("{reader} finds {lease}, and asks to {} it", verb(request.ask)),
        None if before.replicas[pod].role.leads() => format!("{reader} finds {lease}, and ends"),
        None => format!("{reader} finds {lease}"),
    }
}

const fn verb(ask: Ask) -> &'static str {
    match ask {
        Ask::Create => "create",
        Ask::Acquire { .. } => "acquire",
        Ask::Renew => "renew",
        Ask::Release => "release",
    }
}

fn arrival(
    before: &World,
    pod: Pod,
    request: Option<Request>,
    late: &str,
    after: &World,
) -> String {
    let asked = request.map_or("", |request| verb(request.ask));
    let request = format!("{}'s {late}request to {asked} the Lease", name(pod));
    let leads = |world: &World| world.replicas[pod].role.leads();
    let outcome = match (leads(before), leads(after)) {
        (false, true) => format!("; {} leads", name(pod)),
        (true, false) => format!("; {} ends", name(pod)),
        _ => String::new(),
    };
    let holder = |world: &World| match world.lease.map(|lease| lease.holder) {
        Some(Holder::Process(holder)) if holder != pod => Some(name(holder)),
        _ => None,
    };
    let besides = match (holder(before), holder(after)) {
        (_, Some(holder)) => format!(": it is {holder}'s"),
        (Some(holder), None) => format!(": it was {holder}'s"),
        (None, None) => String::new(),
    };
    format!("{request} arrives{besides}{outcome}")
}
