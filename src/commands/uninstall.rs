//! `configmapsync uninstall`: stops the operator and undoes what it has left, as who asks.

use std::time::Duration;
use std::time::Instant;

use tokio::time::timeout_at;

use crate::api::namespaced_name::NamespacedName;
use crate::args::Uninstall;
use crate::commands::Error;
use crate::commands::Exit;
use crate::commands::connect;
use crate::commands::consent::unless_agreed;
use crate::commands::say;
use crate::commands::table::printable;
use crate::decide::uninstall::CopyHandling;
use crate::telemetry;
use crate::uninstall::Counts;
use crate::uninstall::Scaled;
use crate::uninstall::left;
use crate::uninstall::scaled;
use crate::uninstall::stop;
use crate::uninstall::undo;

/// Asks, stops the operator, and undoes what it has left.
///
/// # Errors
/// Something is refused, or takes too long. The error says how to go on, and how to go back.
pub async fn uninstall(flags: &Uninstall) -> Result<Exit, Error> {
    let (client, _) = connect(&flags.cluster).await?;
    let deployment = NamespacedName::new(&flags.namespace, &flags.deployment);
    let copies = if flags.delete_copies { CopyHandling::Delete } else { CopyHandling::Keep };
    let scaled = scaled(&client, &deployment).await?;
    let left = left(&client, copies).await?;
    let is_idle = scaled.replicas == 0 && left.writes() == 0;
    if !flags.yes && !is_idle {
        say(&announced(&deployment, &scaled, left))?;
        if let Some(exit) = unless_agreed("Go on?")? {
            return Ok(exit);
        }
    }
    // Whoever does not listen misses nothing that matters.
    let tell = |line: &str| drop(say(&(printable(line) + "\n")));
    let deadline = Instant::now() + flags.timeout;
    let work = async {
        stop(&client, &deployment, &scaled, deadline, &tell).await?;
        undo(&client, copies, &tell).await
    };
    let why = match timeout_at(deadline.into(), work).await {
        Ok(Ok(done)) => {
            say(&summary(done))?;
            return Ok(Exit::Success);
        }
        Ok(Err(error)) => telemetry::describe(&error),
        Err(_) => late(flags.timeout),
    };
    Err(Error::Uninstall { why: printable(&why), back: back(&deployment, &scaled) })
}

fn announced(deployment: &NamespacedName, scaled: &Scaled, left: Counts) -> String {
    let Counts { spared, deleted, released, lifted } = left;
    let Scaled { replicas, .. } = scaled;
    format!(
        "Deployment {deployment} has {replicas} replicas, which are stopped.\n\
         Of the copies, {spared} are kept without the mark that asks for their deletion, \
         {deleted} are deleted, {released} are released.\n\
         Our finalizer is lifted from {lifted} ConfigMapSyncs, which stay.\n"
    )
}

fn summary(done: Counts) -> String {
    if done.writes() == 0 {
        return "There is nothing left to undo.\n".to_owned();
    }
    let Counts { spared, deleted, released, lifted } = done;
    format!(
        "Done: {spared} copies kept, {deleted} deleted, {released} released; {lifted} \
         ConfigMapSyncs no longer wait for an operator.\n"
    )
}

fn late(timeout: Duration) -> String {
    format!("it was not done within {timeout:?}: allow for more by --timeout")
}

fn back(deployment: &NamespacedName, scaled: &Scaled) -> String {
    let NamespacedName { namespace, name } = deployment;
    let replicas = match scaled.replicas {
        0 => "N".to_owned(),
        replicas => replicas.to_string(),
    };
    format!(
        "bring the operator back by `kubectl --namespace {namespace} scale deployment {name} \
         --replicas={replicas}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_was_done_that_is_said() {
        assert!(summary(Counts::default()).contains("nothing left"));
        let done = Counts { spared: 2, lifted: 1, ..Counts::default() };
        assert!(summary(done).contains("2 copies kept"));
    }
}
