//! The commands, arguments and flags of `relay`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use relay_types::call::CallKind;
use relay_types::order::Partner;
use relay_types::redact::Redacted;

use crate::bulk::BulkArgs;
use crate::report::Form;
use crate::unfinished::Filters;

/// Inspect orders, handle items that need attention, and redrive dead letters
#[derive(Debug, Parser)]
#[command(name = "relay", version, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command. Credentials come from the same sources as the AWS CLI's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Deployment")]
pub struct Global {
    /// Name of the CloudFormation stack
    #[arg(long, global = true, env = "RELAY_STACK", default_value = "ticket-relay", value_name = "NAME")]
    pub stack: String,
    /// AWS region of the stack [default: the AWS CLI's]
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// AWS CLI profile to take credentials from
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// URL of the API, for a local stack or a custom domain [default: the stack's output ApiUrl]
    #[arg(long, global = true, env = "RELAY_API_URL", value_name = "URL")]
    pub api_url: Option<String>,
    /// JSON output, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show, link, withdraw or close an order
    #[command(subcommand)]
    Order(OrderCommand),
    /// Serve the operator's web console on this machine, with your own AWS credentials
    Console {
        /// Port; another one if it is taken
        #[arg(long, default_value_t = 7433)]
        port: u16,
        /// Open the browser
        #[arg(long)]
        open: bool,
    },
    /// List and handle items that need attention
    #[command(subcommand)]
    Attention(AttentionCommand),
    /// List everything unfinished: why, since when, and what happens next
    List {
        /// The items
        #[command(flatten)]
        filters: Filters,
        /// Maximum items [default: all]
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Find an order or call by its id, its key, or its order number at Fliggy
    Find {
        /// Order id of a partner, key of a call, or order number at Fliggy
        id: String,
    },
    /// Show the log of all functions
    Log {
        /// Lines that name this order, call key or other text
        #[arg(long, value_name = "TEXT")]
        about: Option<String>,
        /// Since this time: 2026-01-01T04:00:00Z, or a duration ago such as 1h
        #[arg(long, value_name = "TIME", value_parser = crate::unfinished::time, default_value = "1h")]
        since: jiff::Timestamp,
        /// Only warnings and errors
        #[arg(long)]
        problems: bool,
        /// Go on showing new lines until Ctrl-C
        #[arg(long)]
        follow: bool,
    },
    /// Report how it went: counts, seconds to TOP, and what still needs a person
    Report {
        /// Since this time: 2026-01-01T04:00:00Z, a duration ago such as 1d, today or yesterday
        #[arg(long, value_name = "TIME", value_parser = crate::unfinished::time, default_value = "yesterday")]
        since: jiff::Timestamp,
        /// Form of the report, unless --json
        #[arg(long, value_enum, default_value = "table")]
        format: Form,
    },
    /// Do the same with many unfinished items
    Bulk(BulkArgs),
    /// Hold all calls of a kind back; they wait until they are resumed, and notifications are still accepted
    Pause {
        /// Name of the call, or all
        #[arg(value_parser = call_or_all())]
        call: String,
        /// Time until an alarm reminds of the pause, such as 1h or 30m; the pause does not end by itself
        #[arg(long = "for", value_name = "DURATION", value_parser = minutes)]
        minutes: i64,
        /// Reason
        #[arg(long)]
        note: String,
    },
    /// End a pause
    Resume {
        /// Name of the call, or all that are paused
        #[arg(value_parser = call_or_all())]
        call: String,
        /// Reason
        #[arg(long)]
        note: String,
    },
    /// Count unfinished items and dead letters, and list pauses and calls that are held back
    Status,
    /// Show bodies that could not be read, take them in again, or dismiss them
    #[command(subcommand)]
    Unreadable(UnreadableCommand),
    /// Submit a call to TOP, or show its state
    #[command(subcommand)]
    Call(CallCommand),
    /// List dead letters, redrive or delete them
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Show the signed request that a call would send to TOP, without sending it
    Sign {
        /// Name of the call
        #[arg(value_parser = call())]
        call: String,
        /// File with the request body as submitted; `-` reads standard input
        file: PathBuf,
        /// Time stamp to sign with, such as 2026-01-01T04:00:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<jiff::Timestamp>,
        /// TOP account that signs [default: the account of the call in TOP's secret]
        #[arg(long)]
        account: Option<String>,
        /// Unmasked names, certificate numbers and ticket passwords; needed to compute the signature again
        #[arg(long)]
        personal: bool,
    },
    /// Check an account and region before the first deployment
    Preflight {
        /// Template parameters to deploy with, as for `sam deploy`
        #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = parameter)]
        parameter_overrides: Vec<(String, String)>,
    },
    /// Check a deployment and show how to fix problems
    Doctor,
    /// Test a deployment from end to end, without a request to TOP
    Smoke {
        /// Token in TSY's URL; `-` reads standard input. A flag's value is visible to other users of this machine
        #[arg(long, env = "RELAY_TSY_TOKEN", hide_env_values = true, value_name = "TOKEN", value_parser = token)]
        tsy_token: Redacted<String>,
        /// AWS CLI profile without permission to invoke the API, to test that it is refused
        #[arg(long, value_name = "NAME")]
        unprivileged_profile: Option<String>,
        /// Time limit of each effect, in seconds
        #[arg(long, default_value_t = 90, value_name = "SECONDS")]
        wait: u16,
    },
    /// Print a completion script for a shell
    Completions {
        /// Name of the shell
        shell: Shell,
    },
    /// Write the manual pages to a folder
    Man {
        /// Folder to write to
        folder: PathBuf,
    },
}

/// Identifies an order.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Partner of the order
    #[arg(value_parser = partner())]
    pub partner: String,
    /// Order id, as in the partner's notifications
    pub order_id: String,
}

/// An operator's request about an order.
#[derive(Debug, Args)]
pub struct OrderNote {
    /// The order
    #[command(flatten)]
    pub order: OrderArgs,
    /// Reason [kept with the order]
    #[arg(long)]
    pub note: String,
}

/// Commands about an order.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Show the order's timeline, notifications and calls
    Show {
        /// The order
        #[command(flatten)]
        order: OrderArgs,
        /// With --json: only the notification with this digest has its payload, for an order with many large ones
        #[arg(long, value_name = "DIGEST")]
        payload: Option<String>,
    },
    /// Compare two notifications of the order, or two of its links
    Diff {
        /// The order
        #[command(flatten)]
        order: OrderArgs,
        /// The earlier one: the first digits of a notification's digest, or `link-1` for the link's version 1
        from: String,
        /// The later one
        to: String,
    },
    /// Link the order to a TOP call, and add data that the notification lacks
    Link {
        /// The order
        #[command(flatten)]
        order: OrderArgs,
        /// File with the link; `-` reads standard input
        file: PathBuf,
    },
    /// Withdraw the order's call if it was certainly not sent
    Withdraw(OrderNote),
    /// Close an order that will never be linked
    Close(OrderNote),
}

/// Commands about items that need attention.
#[derive(Debug, Subcommand)]
pub enum AttentionCommand {
    /// List the items, oldest first
    List {
        /// Maximum items [default: all]
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Resolve a call after you asked TOP how it ended
    Resolve {
        /// The call
        #[command(flatten)]
        call: CallArgs,
        /// Outcome of the call
        #[arg(long)]
        outcome: Outcome,
        /// Evidence for the outcome [kept in the call's history]
        #[arg(long)]
        note: Option<String>,
        /// Attempt that the outcome belongs to, in case somebody else retries the call meanwhile
        #[arg(long, value_name = "NUMBER")]
        attempt: Option<u32>,
        /// Retry an unknown call even if its last attempt ended less than two minutes ago
        #[arg(long)]
        yes: bool,
    },
    /// Decide an order again after you corrected the cause
    Replay(OrderArgs),
    /// Dismiss an order that you handled manually; no call is sent
    Dismiss(OrderNote),
    /// Dismiss a submitted call that you handled manually
    DismissCall {
        /// The call
        #[command(flatten)]
        call: CallArgs,
        /// Action taken [kept with the call]
        #[arg(long)]
        note: String,
    },
}

/// Identifies an unreadable body.
#[derive(Debug, Args)]
pub struct BodyArgs {
    /// Endpoint that received the body, such as issue-notify
    pub endpoint: String,
    /// SHA-256 of the body
    pub digest: String,
}

/// Commands about bodies that could not be read.
#[derive(Debug, Subcommand)]
pub enum UnreadableCommand {
    /// List the bodies, oldest first
    List,
    /// Show what is wrong with a body
    Show {
        /// The body
        #[command(flatten)]
        body: BodyArgs,
        /// Show the body itself, too; it may hold personal data
        #[arg(long = "body")]
        with_body: bool,
    },
    /// Take a body in again after the cause was fixed
    Retry {
        /// The body
        #[command(flatten)]
        body: BodyArgs,
        /// What was fixed [kept with the body]
        #[arg(long)]
        note: String,
    },
    /// Dismiss a body
    Dismiss {
        /// The body
        #[command(flatten)]
        body: BodyArgs,
        /// Action taken [kept with the body]
        #[arg(long)]
        note: String,
    },
}

/// How a call ended, as an operator reports it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Outcome {
    /// Took effect
    Succeeded,
    /// Did not take effect; do not retry
    Rejected,
    /// Did not take effect; retry
    Retry,
}

impl Outcome {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Retry => "retry",
        }
    }
}

/// Identifies a call.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// Name of the call
    #[arg(value_parser = call())]
    pub call: String,
    /// Key of the call
    pub key: String,
}

/// Commands about a call.
#[derive(Debug, Subcommand)]
pub enum CallCommand {
    /// Submit a call to TOP
    Submit {
        /// Name of the call
        #[arg(value_parser = call())]
        call: String,
        /// File with the request in TOP's field names; `-` reads standard input
        file: PathBuf,
        /// Idempotency key, for calls that have no key of their own; the same key means the same call
        #[arg(long)]
        key: Option<String>,
        /// TOP account that sends the call [default: the account of the call in TOP's secret]
        #[arg(long)]
        account: Option<String>,
    },
    /// Show the call's state and attempts
    Show(CallArgs),
    /// List the calls that are held back because TOP would refuse them all
    Held,
    /// Have a call that is held back tried now; if it succeeds, the others follow
    RetryNow {
        /// Name of the call
        #[arg(value_parser = call())]
        call: String,
        /// Key of the call [default: any that waits]
        key: Option<String>,
        /// TOP account [default: all]
        #[arg(long, conflicts_with = "key")]
        account: Option<String>,
        /// What was repaired
        #[arg(long)]
        note: String,
        /// Retry although TOP's limit has not ended; TOP may prolong it
        #[arg(long)]
        yes: bool,
    },
}

/// Commands about dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List dead letters
    Show {
        /// Queue that the messages came from [default: all]
        #[arg(value_parser = queue())]
        queue: Option<String>,
    },
    /// Move dead letters back to the queues that they came from
    Redrive {
        /// Queue that the messages came from [default: all]
        #[arg(value_parser = queue())]
        queue: Option<String>,
        /// Messages per second
        #[arg(long, default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=300))]
        rate: u32,
        /// Dry run: count the messages without moving them
        #[arg(long)]
        dry_run: bool,
        /// Only the message with this id, as `show` lists it
        #[arg(long, requires = "queue", conflicts_with = "dry_run")]
        id: Option<String>,
    },
    /// Delete one dead letter for good; the record that it names stays
    Delete {
        /// Queue that the message came from
        #[arg(value_parser = queue())]
        queue: String,
        /// Id of the message, as `show` lists it
        id: String,
    },
}

pub fn partner() -> PossibleValuesParser {
    Partner::ALL.map(<&str>::from).into()
}

pub fn call() -> PossibleValuesParser {
    CallKind::ALL.map(<&str>::from).into()
}

fn call_or_all() -> PossibleValuesParser {
    PossibleValuesParser::new(CallKind::ALL.map(<&str>::from).into_iter().chain(["all"]))
}

/// Reads a duration as minutes.
fn minutes(text: &str) -> Result<i64, String> {
    let minutes = crate::unfinished::duration(text).map(|duration| duration.as_secs() / 60);
    minutes.filter(|minutes| *minutes > 0).ok_or_else(|| "write it as 1h, 30m or 2d".to_owned())
}

fn queue() -> PossibleValuesParser {
    PossibleValuesParser::new(crate::dead_letters::queues().map(|(name, _)| name))
}

fn token(text: &str) -> Result<Redacted<String>, String> {
    if text.is_empty() { Err("the token is empty".to_owned()) } else { Ok(text.to_owned().into()) }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
