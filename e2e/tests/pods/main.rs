//! Guarantees that need real pods: installation, removal and reinstallation with Helm; the first leader of
//! a cluster, and recovery after the leader was killed.

mod crashes;
mod deny_policy;
mod first_start;
mod helm_cluster;
mod removal;
mod removal_policies;
mod removal_scope;
mod uninstall_faults;

use testbed::pod_tests;
use tokio::sync::Mutex;

/// One cluster at a time: the times that are measured are those of an idle machine.
static CLUSTER: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_killed_leader_is_replaced_within_seconds() {
    if !pod_tests::are_skipped() {
        let _guard = CLUSTER.lock().await;
        crashes::kill_leaders().await.unwrap();
    }
}

#[tokio::test]
async fn the_first_leader_copies_within_seconds() {
    if !pod_tests::are_skipped() {
        let _guard = CLUSTER.lock().await;
        first_start::install_in_new_clusters().await.unwrap();
    }
}

#[tokio::test]
async fn removal_and_reinstallation_keep_data_and_block_nothing() {
    if !pod_tests::are_skipped() {
        let _guard = CLUSTER.lock().await;
        removal::remove_and_reinstall().await.unwrap();
    }
}
