//! What can be said on the command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use relay_types::call::CallKind;
use relay_types::order::Partner;

/// See what happened to an order, and mend it.
#[derive(Debug, Parser)]
#[command(name = "relay", version, arg_required_else_help = true)]
pub struct Cli {
    /// Which deployment, and how to answer.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which deployment, and how to answer. Credentials come from where the AWS CLI has them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Deployment")]
pub struct Global {
    /// The CloudFormation stack
    #[arg(long, global = true, env = "RELAY_STACK", default_value = "ticket-relay", value_name = "NAME")]
    pub stack: String,
    /// The region it is in, if it is not the one that the AWS CLI would take
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// The profile of the AWS CLI's files whose credentials are used
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Where the API is, if it is not where the stack says (a local stack, a domain of one's own)
    #[arg(long, global = true, env = "RELAY_API_URL", value_name = "URL")]
    pub api_url: Option<String>,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See an order, or say what the booking system knows of it
    #[command(subcommand)]
    Order(OrderCommand),
    /// See what needs a person, and settle it
    #[command(subcommand)]
    Attention(AttentionCommand),
    /// Submit a call to TOP, or see how it went
    #[command(subcommand)]
    Call(CallCommand),
    /// See the messages that were given up, and have them tried again
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Show what would be sent to TOP for a request, and its signature; nothing is sent
    Sign {
        /// Which call
        #[arg(value_parser = call())]
        call: String,
        /// A file with the request as it is submitted, `-` for standard input
        file: PathBuf,
        /// The time stamp to sign with, such as 2026-01-01T04:00:00Z; now if there is none
        #[arg(long, value_name = "TIME")]
        at: Option<jiff::Timestamp>,
        /// Show names, certificate numbers and ticket passwords, too: only with them can the signature be computed again
        #[arg(long)]
        personal: bool,
    },
    /// Check a deployment, and say how to mend what is wrong with it
    Doctor,
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder
        folder: PathBuf,
    },
}

/// An order.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Whose order it is
    #[arg(value_parser = partner())]
    pub partner: String,
    /// Its id, as the partner's notifications have it
    pub order_id: String,
}

/// A person's word about an order.
#[derive(Debug, Args)]
pub struct Word {
    /// The order
    #[command(flatten)]
    pub order: OrderArgs,
    /// Why [kept with the order]
    #[arg(long)]
    pub note: String,
}

/// What to do with an order.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Show its timeline, its notifications and its calls
    Show(OrderArgs),
    /// Say which call it leads to, and what the notification lacks
    Link {
        /// Which order
        #[command(flatten)]
        order: OrderArgs,
        /// A file with the link, `-` for standard input
        file: PathBuf,
    },
    /// Withdraw an order's call that was certainly not sent
    Withdraw(Word),
    /// Close an order that will never be linked
    Close(Word),
}

/// What to do about what needs a person.
#[derive(Debug, Subcommand)]
pub enum AttentionCommand {
    /// List it, oldest first
    List {
        /// Maximum items [default: all]
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Say what became of a call, when TOP has been asked about it
    Resolve {
        /// Which call
        #[command(flatten)]
        call: CallArgs,
        /// What became of it
        #[arg(long)]
        outcome: Outcome,
        /// How you know; kept in the call's history
        #[arg(long)]
        note: Option<String>,
        /// Which attempt you mean, where somebody else might have it sent again meanwhile
        #[arg(long, value_name = "NUMBER")]
        attempt: Option<u32>,
    },
    /// Decide an order again, after its cause was corrected
    Replay(OrderArgs),
    /// Dismiss an order that you handled manually; no call is sent
    Dismiss(Word),
    /// Dismiss a submitted call that you handled manually
    DismissCall {
        /// The call
        #[command(flatten)]
        call: CallArgs,
        /// What was done [kept with the call]
        #[arg(long)]
        note: String,
    },
    /// Dismiss a body that could not be read
    DismissUnreadable {
        /// The endpoint that it came to
        endpoint: String,
        /// The body's SHA-256
        digest: String,
        /// What was done [kept with the body]
        #[arg(long)]
        note: String,
    },
}

/// What became of a call.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Outcome {
    /// It took effect
    Succeeded,
    /// It did not take effect; do not retry
    Rejected,
    /// It did not take effect; send it again
    Retry,
}

/// A call.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// Which call
    #[arg(value_parser = call())]
    pub call: String,
    /// Its key
    pub key: String,
}

/// What to do with a call.
#[derive(Debug, Subcommand)]
pub enum CallCommand {
    /// Submit a call to TOP
    Submit {
        /// Which call
        #[arg(value_parser = call())]
        call: String,
        /// A file with the request in TOP's field names, `-` for standard input
        file: PathBuf,
        /// Its idempotency key, where the call has none of its own: the same key is the same call
        #[arg(long)]
        key: Option<String>,
    },
    /// Show how it went
    Show(CallArgs),
}

/// What to do with messages that were given up.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List them
    Show {
        /// Of which queue; of all if not said
        #[arg(value_parser = queue())]
        queue: Option<String>,
    },
    /// Put them back into the queues that they came from
    Redrive {
        /// Of which queue; of all if not said
        #[arg(value_parser = queue())]
        queue: Option<String>,
        /// How many a second
        #[arg(long, default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=300))]
        rate: u32,
        /// Only say what would be put back
        #[arg(long)]
        dry_run: bool,
    },
}

fn partner() -> PossibleValuesParser {
    Partner::ALL.map(Partner::as_str).into()
}

fn call() -> PossibleValuesParser {
    CallKind::ALL.map(CallKind::as_str).into()
}

fn queue() -> PossibleValuesParser {
    crate::dead_letters::QUEUES.map(|(name, _)| name).into()
}
