//! Guarantees that need real pods: installation, removal and reinstallation with Helm.

mod helm_cluster;
mod removal;
mod removal_policies;
mod removal_scope;

use testbed::pod_tests;

#[tokio::test]
async fn removal_and_reinstallation_keep_data_and_block_nothing() {
    if !pod_tests::are_skipped() {
        removal::remove_and_reinstall().await.unwrap();
    }
}
