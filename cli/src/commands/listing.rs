//! What the commands that list by time have in common.

use clap::{Args, Subcommand};
use intake_pipeline::ledger::Outcome;
use intake_pipeline::records::{Listing, TimeRange};
use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;

use super::describe::in_seconds;
use super::parsers::{outcome_parser, provider_parser};
use super::place::StackOptions;
use super::since;

/// The arguments of a command that lists, unless another action is named.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ListUnless<Action: Subcommand, List: Args> {
    #[command(flatten)]
    pub(super) place: StackOptions,
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    #[command(flatten)]
    pub(super) list: List,
}

/// What is wanted, of events as of deliveries.
#[derive(Clone, Debug, Args)]
pub(super) struct Selection {
    /// Only what this provider sent.
    #[arg(long, value_parser = provider_parser())]
    pub(super) provider: Option<ProviderName>,
    /// Only events with this outcome, or deliveries with such an event. A duplicate leaves no event of its own, except
    /// NurtureCloud's; `deliveries` has them all.
    #[arg(long, value_parser = outcome_parser())]
    pub(super) outcome: Option<Outcome>,
    /// Only events of this type, or deliveries with such an event, with or without the provider's name before it.
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) event_type: Option<String>,
    /// Only what was received since then: how long ago, such as 30m, 2h or 7d, or a time such as 2026-11-21T09:30:00Z.
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    pub(super) since: Option<Timestamp>,
    /// Print JSON: each of them whole, one object a line.
    #[arg(long)]
    pub(super) json: bool,
}

/// How far a list goes.
#[derive(Clone, Debug, Args)]
pub(super) struct Extent {
    /// Only what was received before then, in the same form.
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    pub(super) until: Option<Timestamp>,
    /// Maximum number to list, the latest ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    /// Go on with what comes, as `tail` does.
    #[arg(long, conflicts_with_all = ["until", "limit"])]
    pub(super) follow: bool,
}

impl Extent {
    /// The time that is listed.
    pub(super) const fn received(&self, selection: &Selection) -> TimeRange {
        TimeRange { since: selection.since, until: self.until }
    }

    /// What to say under a list of this length.
    pub(super) fn hint(&self, length: usize) -> Option<String> {
        (length as u64 >= u64::from(self.limit)).then(|| format!("The latest {}; --limit shows more.\n", self.limit))
    }
}

/// What to say of a listing that does not go back to the beginning.
pub(super) fn looked_back<T>(listing: &Listing<T>) -> Option<String> {
    let to = listing.looked_back_to?;
    Some(format!("Looked back to {}; --since looks further.\n", in_seconds(to)))
}

/// How `tail` works, under its help.
pub(super) const TAIL_HELP: &str = "\
Prints a line for each one that is recorded from now on; with --since also those received since then, first. It ends with Ctrl-C, or \
when what it is piped to ends.

What was received in the last five minutes is looked at every second (of a stack, every five seconds), and what was received in the last two hours, \
or since --since, every half minute (of a stack, every minute), because a delivery that failed is recorded when it has been tried again. Nothing is printed twice. \
What arrived earlier, such as a dead letter of yesterday that is put back, is printed only with a --since before it.

Each look at a stack costs 20 to 40 queries of DynamoDB, a fifth of that with --provider: about 0.002 dollars an hour, and a read of each item \
that is printed.";
