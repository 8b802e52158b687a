//! The time that the policies, above all the fence, add to a write.
//!
//! One pod of the operator, in the leader record, updates one copy sequentially: without a policy, with
//! the fence alone, and with all four, in turns, so that other load on the machine affects all alike.
//! The operator is stopped. The result is the ratio of the medians; with etcd on a disk, unlike here,
//! it would be closer to one.

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
use crate::measurement::Measurement;
use crate::measurement::median;
use crate::measurement::quantile;
use crate::raw_writer::Writer;
use crate::results::Relation;
use crate::results::Results;
use crate::write_requests::Written;
use crate::write_requests::four_kibibytes;

/// Updates per state and repetition.
const UPDATES: u32 = 400;
/// Unmeasured updates before those.
const WARM_UP: u32 = 40;
/// The deadline for a new API server to enforce the fence.
const ENFORCED: Duration = Duration::from_mins(2);
/// The upper bound of the ratio.
const MAX_RATIO: f64 = 1.5;

/// Which policies are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Installed {
    None,
    Fence,
    All,
}

/// The median time of an update in each state, in milliseconds, in the order of [`Installed::ALL`].
type Medians = [f64; 3];

/// A copy, and the pods that write it.
struct FencedCopy {
    leader: Writer,
    /// A pod that is not in the leader record.
    other: Pod,
    at: NamespacedName,
    seen: Written,
    edits: u32,
}

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    cluster.stop_operator().await?;
    cluster.create_namespaces(1).await?;
    let mut fenced_copy = FencedCopy::create(cluster).await?;
    let updates = cluster.scaled(UPDATES);
    let mut order = Installed::ALL;
    let mut rounds = Vec::new();
    for number in 1..=cluster.options.rounds {
        let work = async {
            let medians =
                fenced_copy.measure_states(&cluster.control_plane, order, updates).await?;
            Ok(Done::new(medians, format!("{updates} updates in each state")))
        };
        let what = format!("updates with and without policies, repetition {number}");
        rounds.push(cluster.screen.clone().step(&what, work).await?);
        order.reverse();
    }
    report(results, &rounds);
    Ok(())
}

fn report(results: &mut Results, rounds: &[Medians]) {
    for installed in Installed::ALL {
        let mut measured = Measurement::default();
        for (what, at) in [("min", 0.0), ("median", 0.5), ("max", 1.0)] {
            let value = quantile(rounds.iter().map(|medians| medians[installed as usize]), at);
            measured.more.extend(value.map(|value| (format!("{what} of repetitions, ms"), value)));
        }
        results.row(format!("an update, {}", installed.name()), measured);
    }
    for installed in [Installed::Fence, Installed::All] {
        let of =
            |medians: &Medians| medians[installed as usize] / medians[Installed::None as usize];
        let what = format!("{}: time of an update, ratio to no policy", installed.name());
        results.bound(what, median(rounds.iter().map(of)), Relation::AtMost, MAX_RATIO);
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

// === impl FencedCopy ===

impl FencedCopy {
    async fn create(cluster: &BenchCluster) -> Result<Self> {
        let control_plane = &cluster.control_plane;
        let pod = Pod::create(control_plane, "fence-leader", None).await?;
        let other = Pod::create(control_plane, "fence-other", None).await?;
        replica::publish_leader_record(control_plane, &pod.uid, 1).await?;
        let leader = Writer::of(&pod).await?;
        let at = NamespacedName::new(BenchCluster::namespace(0), "fence");
        let seen = leader.create(&at, &four_kibibytes(0)).await.context("creating the copy")?;
        Ok(Self { leader, other, at, seen, edits: 0 })
    }

    /// Measures each state, in this order, and installs all policies again.
    async fn measure_states(
        &mut self,
        control_plane: &ControlPlane,
        order: [Installed; 3],
        updates: u32,
    ) -> Result<Medians> {
        let mut measured = Medians::default();
        for installed in order {
            self.wait_installed(control_plane, installed).await?;
            self.update(WARM_UP).await?;
            measured[installed as usize] = self.update(updates).await?;
        }
        self.wait_installed(control_plane, Installed::All).await?;
        Ok(measured)
    }

    /// Updates the copy sequentially. Returns the median time, in milliseconds.
    async fn update(&mut self, count: u32) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..count {
            self.edits += 1;
            let data = four_kibibytes(self.edits);
            let start = Instant::now();
            self.seen = self.leader.patch(&self.at, &self.seen, &data).await?;
            times.push(start.elapsed().as_secs_f64() * 1_000.0);
        }
        median(times).context("no update was measured")
    }

    /// Installs and removes policies, and waits until the API server enforces exactly these. It loads all
    /// changes at once, so that two of the policies show the state of all.
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
        until(format!("the API server enforces {}", installed.name()), ENFORCED, || async {
            let with_label = fence_probe().send_as(&client).await?;
            let without_label = bounds_probe().send_as(&client).await?;
            let is_enforced = with_label.is_refused_by(names::POLICY_FENCE) == fenced
                && without_label.is_refused_by(names::POLICY_BOUNDS) == bound;
            Ok(Seen::from_bool(is_enforced, || {
                format!("with the label of a copy: {with_label}; without: {without_label}")
            }))
        })
        .await
    }
}

/// Creates a `ConfigMap` without the label of a copy, by dry run.
fn bounds_probe() -> Attempt {
    let path = format!("{}?dryRun=All", config_maps("default"));
    Attempt::create(
        "create a ConfigMap that is not a copy, dry run",
        path,
        json!({"metadata": {"name": "bounds-probe"}}),
    )
}
