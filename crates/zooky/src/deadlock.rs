//! Looks for deadlocks while a contender waits, and refuses the one whose wait has to end.

use std::time::Duration;

use crate::acquire::Recipe;
use crate::core::dialect::Written;
use crate::inspect::{self, Contender};
use crate::{Error, Owner};

/// Most waits are shorter: they cost nothing.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// A waiter that is not the one to close the circle finds it by then.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Waits with `wait`, whose contender's path begins with `node`, unless the handle is to be refused in a deadlock
/// and this is one. The wait is then dropped, which removes its node.
pub(crate) async fn unless_stuck<T>(
    recipe: &Recipe,
    node: Option<String>,
    wait: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let (Some(root), Some(node)) = (&recipe.deadlocks_below, node) else { return wait.await };
    let path = || recipe.path.to_string();
    if recipe.dialect != Written::Kazoo {
        return Err(Error::NoRoomForOwner { path: path(), dialect: recipe.dialect.into() });
    }
    if recipe.owner.id.is_none() {
        return Err(Error::NoOwnerId { path: path() });
    }
    tokio::select! {
        biased;
        result = wait => result,
        // Boxed: all would carry what few come to.
        cycle = Box::pin(stuck(recipe, root, &node)) => {
            tracing::warn!(path = %recipe.path, %cycle, "a deadlock: this waiter is refused");
            Err(Error::Deadlock { path: path(), cycle: Box::new(cycle) })
        }
    }
}

impl Recipe {
    /// Has deadlocks below `root` refused, or none. The owner says so to those who look for a victim.
    pub(crate) fn set_deadlocks_below(&mut self, root: Option<&str>) {
        self.deadlocks_below = root.map(Into::into);
        self.set_owner((*self.owner).clone());
    }

    /// The same, of one who does not let itself be refused.
    pub(crate) fn unrefusable(&self) -> Recipe {
        let mut recipe = self.clone();
        recipe.set_deadlocks_below(None);
        recipe
    }

    /// Another owner, who lets itself be refused if the handle does.
    pub(crate) fn set_owner(&mut self, owner: Owner) {
        self.owner = owner.refusable(self.deadlocks_below.is_some()).into();
    }
}

/// The directory that all these paths are in, at whatever depth.
pub(crate) fn directory_of<'a>(paths: impl IntoIterator<Item = &'a str>) -> &'a str {
    let directory = |path: &'a str| path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let within = |path: &str, directory: &str| {
        path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut paths = paths.into_iter();
    let mut common = paths.next().map_or("", directory);
    for path in paths {
        while !within(directory(path), common) {
            common = directory(common);
        }
    }
    if common.is_empty() { "/" } else { common }
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

#[cfg(test)]
mod tests {
    use super::directory_of;

    #[test]
    fn the_directory_of_several_holds_all_of_them() {
        for (paths, directory) in [
            (&["/locks/a"][..], "/locks"),
            (&["/a"], "/"),
            (&["/locks/a", "/locks/b"], "/locks"),
            (&["/locks/x/a", "/locks/xy/b"], "/locks"),
            (&["/locks/x/a", "/locks/x/y/b"], "/locks/x"),
            (&["/locks/x/y/b", "/locks/x"], "/locks"),
            (&["/locks/a", "/other/b"], "/"),
            (&["/a", "/b/c"], "/"),
        ] {
            assert_eq!(directory_of(paths.iter().copied()), directory, "{paths:?}");
        }
    }
}
