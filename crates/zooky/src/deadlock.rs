//! Looks for deadlocks while a contender waits, and refuses the one whose wait has to end.

use std::time::Duration;

use crate::acquire::Recipe;
use crate::core::dialect::Written;
use crate::inspect::{self, Contender};
use crate::{Error, Guard};

/// Most waits are shorter: they cost nothing.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// A waiter that is not the one to close the circle finds it by then.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Waits with `wait`, whose contender's name begins with `prefix`, unless the handle is to be refused in a deadlock
/// and this is one. The wait is then dropped, which removes its node.
pub(crate) async fn unless_stuck(
    recipe: &Recipe,
    prefix: Option<String>,
    wait: impl Future<Output = Result<Guard, Error>>,
) -> Result<Guard, Error> {
    let (Some(root), Some(prefix)) = (&recipe.deadlocks_below, prefix) else { return wait.await };
    let path = || recipe.path.to_string();
    if recipe.dialect != Written::Kazoo {
        return Err(Error::NoRoomForOwner { path: path(), dialect: recipe.dialect.into() });
    }
    if recipe.owner.id.is_none() {
        return Err(Error::NoOwnerId { path: path() });
    }
    let node = format!("{}/{prefix}", recipe.path);
    tokio::select! {
        biased;
        result = wait => result,
        cycle = stuck(recipe, root, &node) => {
            tracing::warn!(path = %recipe.path, %cycle, "a deadlock: this waiter is refused");
            Err(Error::Deadlock { path: path(), cycle: Box::new(cycle) })
        }
    }
}

/// Returns once this contender is the victim of a deadlock.
async fn stuck(recipe: &Recipe, root: &str, node: &str) -> inspect::Cycle {
    let mut pause = FIRST_LOOK;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let is_ours = |victim: &Contender| victim.path.starts_with(node);
        match inspect::wait_graph(&recipe.client, root).await {
            Ok(graph) => {
                let found = graph.into_cycles().into_iter().find(|cycle| cycle.victim().is_some_and(is_ours));
                if let Some(cycle) = found {
                    return cycle;
                }
            }
            Err(fault) => tracing::debug!(root, %fault, "deadlocks could not be looked for; trying again"),
        }
    }
}
