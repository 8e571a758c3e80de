//! `steadfast groups`: what became of this member's group.

use clap::Subcommand;

use super::Exit;
use rebalances::RebalancesArgs;

mod rebalances;

/// What is done about groups.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum GroupsCommand {
    /// Show what this member's rebalances were and cost, and what would make them fewer and shorter.
    Rebalances(RebalancesArgs),
}

/// Runs the command.
pub fn groups(command: &GroupsCommand) -> Exit {
    match command {
        GroupsCommand::Rebalances(args) => rebalances::rebalances(args),
    }
}
