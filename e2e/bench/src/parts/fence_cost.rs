//! What the policies add to a write, above all the fence.
//!
//! One pod of the operator, announced as the leader, updates one copy, one request after the other:
//! without any policy, with the fence alone, and with all four, in turns, so that whatever else
//! the machine does falls on each alike. No operator runs. What is told is the ratio of medians:
//! where etcd waits for a disk, as it does not here, it is nearer to one.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::names;
use harness::attempt::Attempt;
use harness::attempt::config_maps;
use harness::attempt::fence_probe;
use harness::installation;
use harness::replica;
use harness::replica::Pod;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::terminal::Done;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::bench_cluster::BenchCluster;
use crate::bodies::Written;
use crate::bodies::four_kibibytes;
use crate::ledger::Ledger;
use crate::ledger::Relation;
use crate::measured::Measured;
use crate::measured::median;
use crate::measured::quantile;
use crate::writer::Writer;

/// Of each state, in each round.
const UPDATES: u32 = 400;
/// Before that, so that none of them pays for what comes first.
const WARM_UP: u32 = 40;
/// An API server that has just been started takes its time to fence.
const ENFORCED: Duration = Duration::from_mins(2);
/// Generous: it is not the fence that should be noticed.
const AT_MOST: f64 = 1.5;

/// Which policies are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Installed {
    None,
    Fence,
    All,
}

/// How long an update takes in each state, in milliseconds, in the order of [`Installed::ALL`].
type Round = [f64; 3];

/// The copy, and who updates it.
struct Scene {
    leader: Writer,
    /// Another pod, which the fence refuses.
    other: Pod,
    at: NamespacedName,
    seen: Written,
    edits: u32,
}

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    cluster.stop_operator().await?;
    cluster.make_namespaces(1).await?;
    let mut scene = Scene::set(cluster).await?;
    let updates = cluster.scaled(UPDATES);
    let mut order = Installed::ALL;
    let mut rounds = Vec::new();
    for round in 1..=cluster.options.rounds {
        let work = async {
            let round = scene.round(&cluster.control_plane, order, updates).await?;
            Ok(Done::new(round, format!("{updates} updates in each state")))
        };
        let what = format!("updates with and without policies, round {round}");
        rounds.push(cluster.screen.clone().step(&what, work).await?);
        order.reverse();
    }
    tell(ledger, &rounds);
    Ok(())
}

fn tell(ledger: &mut Ledger, rounds: &[Round]) {
    for installed in Installed::ALL {
        let mut measured = Measured::default();
        for (what, at) in [("least", 0.0), ("median", 0.5), ("most", 1.0)] {
            let value = quantile(rounds.iter().map(|round| round[installed as usize]), at);
            measured.more.extend(value.map(|value| (format!("{what} of rounds, ms"), value)));
        }
        ledger.row(format!("an update, {}", installed.name()), measured);
    }
    for installed in [Installed::Fence, Installed::All] {
        let of = |round: &Round| round[installed as usize] / round[Installed::None as usize];
        let what = format!("{}: time of an update, of that without any", installed.name());
        ledger.bound(what, median(rounds.iter().map(of)), Relation::AtMost, AT_MOST);
    }
}

// === impl Installed ===

impl Installed {
    const ALL: [Self; 3] = [Self::None, Self::Fence, Self::All];

    const fn name(self) -> &'static str {
        match self {
            Self::None => "no policy",
            Self::Fence => "the fence alone",
            Self::All => "all four policies",
        }
    }
}

// === impl Scene ===

impl Scene {
    async fn set(cluster: &BenchCluster) -> Result<Self> {
        let control_plane = &cluster.control_plane;
        let pod = Pod::create(control_plane, "fence-leader", None).await?;
        let other = Pod::create(control_plane, "fence-other", None).await?;
        replica::publish_leader_record(control_plane, &pod.uid, 1).await?;
        let leader = Writer::of(&pod).await?;
        let at = NamespacedName::new(BenchCluster::namespace(0), "fence");
        let seen = leader.create(&at, &four_kibibytes(0)).await.context("creating the copy")?;
        Ok(Self { leader, other, at, seen, edits: 0 })
    }

    /// Each state, in this order.
    async fn round(
        &mut self,
        control_plane: &ControlPlane,
        order: [Installed; 3],
        updates: u32,
    ) -> Result<Round> {
        let mut measured = Round::default();
        for installed in order {
            self.wait_installed(control_plane, installed).await?;
            self.update(WARM_UP).await?;
            measured[installed as usize] = self.update(updates).await?;
        }
        // As it was found.
        self.wait_installed(control_plane, Installed::All).await?;
        Ok(measured)
    }

    /// One update after the other: how long the middle one takes.
    async fn update(&mut self, count: u32) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..count {
            self.edits += 1;
            let data = four_kibibytes(self.edits);
            let began = Instant::now();
            self.seen = self.leader.patch(&self.at, &self.seen, &data).await?;
            times.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        median(times).context("no update was made")
    }

    /// The API server takes up what it finds all at once; what is removed last, and installed
    /// last, therefore tells of all.
    async fn wait_installed(
        &self,
        control_plane: &ControlPlane,
        installed: Installed,
    ) -> Result<()> {
        installation::install_policies(control_plane).await?;
        let others = [names::POLICY_CONSENT, names::POLICY_MARKS, names::POLICY_BOUNDS];
        let removed = match installed {
            Installed::None => [&others[..], &[names::POLICY_FENCE]].concat(),
            Installed::Fence => others.to_vec(),
            Installed::All => Vec::new(),
        };
        for policy in removed {
            control_plane.remove_policy(policy).await?;
        }
        let client = self.other.client().await?;
        let (fenced, bound) = (installed != Installed::None, installed == Installed::All);
        until(format!("what is enforced is {}", installed.name()), ENFORCED, || async {
            let marked = fence_probe().send_as(&client).await?;
            let unmarked = bounds_probe().send_as(&client).await?;
            let is_so = marked.is_refused_by(names::POLICY_FENCE) == fenced
                && unmarked.is_refused_by(names::POLICY_BOUNDS) == bound;
            Ok(Seen::from_bool(is_so, || format!("marked: {marked}, unmarked: {unmarked}")))
        })
        .await
    }
}

/// A pod creates something that is no copy, by dry run.
fn bounds_probe() -> Attempt {
    let path = format!("{}?dryRun=All", config_maps("default"));
    Attempt::create("create no copy, dry run", path, json!({"metadata": {"name": "bounds-probe"}}))
}
