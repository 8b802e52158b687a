//! Guarantees that need real pods: installation, removal and reinstallation with Helm.

mod deny_policy;
mod helm_cluster;
mod removal;
mod removal_policies;
mod removal_scope;
mod uninstall_faults;

use testbed::pod_tests;

#[tokio::test]
async fn removal_and_reinstallation_keep_data_and_block_nothing() {
    if !pod_tests::are_skipped() {
        removal::remove_and_reinstall().await.unwrap();
    }
}
