//! The operator in real pods.

mod helm_cluster;
mod removal;
mod removal_policies;

use testbed::pod_tests;

#[tokio::test]
async fn the_operator_goes_and_comes_back_without_losing_or_wedging_anything() {
    if !pod_tests::are_skipped() {
        removal::the_operator_goes_and_comes_back().await.unwrap();
    }
}
