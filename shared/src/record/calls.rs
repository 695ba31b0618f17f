//! A call's record: asked for once, claimed by one owner at a time, finished by that owner only.
//!
//! pending → in_progress(owner, lease) → succeeded | rejected | unknown, or back to pending.
//!
//! The owner token fences: a sender that was slow, frozen or presumed dead cannot write over what its successor
//! found out. It also recognises one's own write after the SDK repeated a request whose answer was lost.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};

use crate::call::{CallId, CallKey, CallKind, CallRequest, Resend};
use crate::clock::{EpochMillis, SharedRandom};
use crate::digest::sha256_hex;
use crate::record::unfinished::{GRACE, Indexed as _, Looker, looker_at_call};
use crate::record::{Item, OptionalValue as _, StoreError, Table, n, read, s, unfinished};
use crate::top::error::Failure;
use crate::top::response::Reply;

const SK: &str = "call";

/// Most attempts kept in a record's history; older ones are dropped first. A DynamoDB item holds 400 KB.
const MAX_HISTORY: usize = 20;

/// How often a write is tried anew after somebody else changed the record in between.
const MAX_TRIES: usize = 3;

fn pk(id: &CallId) -> String {
    format!("call#{}#{}", id.call, id.key)
}

/// Where a call is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// To be sent, not before its time.
    Pending,
    /// Being sent by its owner, until the lease runs out.
    InProgress,
    /// TOP has it.
    Succeeded,
    /// TOP refused it.
    Rejected,
    /// Nobody knows whether it took effect, and it must not be sent again: a person must look.
    Unknown,
}

impl CallState {
    /// The name on records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

/// One attempt, as it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// Who made it.
    pub owner: String,
    /// When it ended.
    pub at: EpochMillis,
    /// `succeeded`, or the class of its failure.
    pub outcome: String,
    /// What TOP said, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What the person said who settled the call; the owner is then that person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a person says of a call that nobody knows the outcome of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It took effect.
    Succeeded,
    /// It did not, and must not.
    Rejected,
    /// It did not, and must: send it again.
    Retry,
}

impl Resolution {
    /// The state that the call is in then.
    #[must_use]
    pub const fn state(self) -> CallState {
        match self {
            Self::Succeeded => CallState::Succeeded,
            Self::Rejected => CallState::Rejected,
            Self::Retry => CallState::Pending,
        }
    }

    /// The outcome in the call's history.
    #[must_use]
    pub const fn as_outcome(self) -> &'static str {
        match self {
            Self::Succeeded => "resolved_succeeded",
            Self::Rejected => "resolved_rejected",
            Self::Retry => "resolved_retry",
        }
    }
}

/// A call, as its record has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CallRecord {
    /// Which call.
    pub call: CallKind,
    /// Under which key.
    pub key: CallKey,
    /// Where it is on its way.
    pub state: CallState,
    /// What it says: JSON in TOP's field names.
    #[serde(rename = "request_json")]
    pub request: String,
    /// SHA-256 of that JSON.
    pub request_digest: String,
    /// Whether it may be sent again when nobody knows whether it took effect.
    pub resend: Resend,
    /// Changes whenever the request does.
    pub revision: String,
    /// How often it was claimed.
    pub attempt: u32,
    /// How many attempts to send this request may have taken effect, as far as anybody knows.
    pub unsettled: i64,
    /// When it may be sent next.
    pub not_before: EpochMillis,
    /// Who claimed it last.
    #[serde(default)]
    pub owner: Option<String>,
    /// When that claim runs out.
    #[serde(default)]
    pub lease_until: Option<EpochMillis>,
    /// Why it is not done, or not done well.
    #[serde(default)]
    pub last_error: Option<Failure>,
    /// What TOP answered to its success.
    #[serde(default)]
    pub reply: Option<Reply>,
    /// Its latest attempts, oldest first.
    #[serde(default)]
    pub history: Vec<Attempt>,
    /// Whether a rejected call is recorded anew when it is asked for with the same request: it was taken back
    /// before it was sent, or a person had its order decided again.
    #[serde(default)]
    pub may_be_asked_again: bool,
    /// Who asked for it: a notification, or an IAM identity.
    pub asked_by: String,
    /// When it was asked for.
    pub created_at: EpochMillis,
    /// When the record last changed.
    pub updated_at: EpochMillis,
}

impl CallRecord {
    /// The history with one more attempt. It is the owner's to write, so it can be written whole; attempts whose
    /// owners died before they could write anything stand in it by their numbers.
    fn history_with<'a>(&'a self, entry: &'a Attempt) -> Vec<Cow<'a, Attempt>> {
        let last = self.history.last().map_or(0, |attempt| attempt.attempt);
        let abandoned = (last + 1..entry.attempt).map(|attempt| {
            let (owner, outcome) = (String::new(), "abandoned".to_owned());
            Cow::Owned(Attempt { attempt, owner, at: entry.at, outcome, error: None, note: None })
        });
        let whole: Vec<_> =
            self.history.iter().map(Cow::Borrowed).chain(abandoned).chain([Cow::Borrowed(entry)]).collect();
        let mut to_drop = whole.len().saturating_sub(MAX_HISTORY);
        // What a person said stays.
        let stays = |attempt: &Cow<'_, Attempt>| {
            let dropped = to_drop > 0 && attempt.note.is_none();
            to_drop -= usize::from(dropped);
            !dropped
        };
        whole.into_iter().filter(stays).collect()
    }

    /// Which record this is.
    #[must_use]
    pub fn id(&self) -> CallId {
        CallId { call: self.call, key: self.key.clone() }
    }
}

/// A call that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct NewCall<'a> {
    /// Under which key.
    pub id: &'a CallId,
    /// What it says.
    pub request: &'a CallRequest,
    /// Who asks.
    pub asked_by: &'a str,
    /// When the notification came that leads to it, if one does: from then on the customer waits.
    pub notified_at: Option<EpochMillis>,
    /// Unique to this asking: recognises one's own write after the SDK repeated it.
    pub revision: &'a str,
}

/// A revision token for one asking.
#[must_use]
pub fn new_revision(random: &SharedRandom) -> String {
    format!("{:016x}{:016x}", random(), random())
}

/// Which records give way to another request under their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Pending ones that certainly did not take effect yet, and rejected ones.
    PendingOrRejected,
    /// Rejected ones.
    Rejected,
}

/// What became of asking for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It is recorded now, as a new call or in place of another request: enqueue its key.
    Recorded,
    /// It was asked for before, with the same request.
    Same(Box<CallRecord>),
    /// Its key is taken by another request that does not give way.
    Different(Box<CallRecord>),
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is the caller's: send it.
    Claimed(Box<CallRecord>),
    /// It is pending, and not due before this time.
    NotDue(EpochMillis),
    /// Somebody else is sending it, until this time at most.
    Busy(EpochMillis),
    /// It was claimed, its lease ran out, and it must not be sent again.
    Abandoned(Box<CallRecord>),
    /// It is done, one way or the other.
    Done(CallState),
    /// There is no such record.
    Missing,
}

/// How a claimed call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// TOP has it.
    Succeeded(Reply),
    /// TOP refused it.
    Rejected(Failure),
    /// Nobody knows, and it must not be sent again.
    Unknown(Failure),
    /// It was not executed: again, not before this time.
    NotExecuted(EpochMillis, Failure),
    /// Nobody knows, but it may be sent again, not before this time.
    Resend(EpochMillis, Failure),
}

impl Finish {
    /// The state that the record ends in.
    #[must_use]
    pub const fn state(&self) -> CallState {
        match self {
            Self::Succeeded(_) => CallState::Succeeded,
            Self::Rejected(_) => CallState::Rejected,
            Self::Unknown(_) => CallState::Unknown,
            Self::NotExecuted(..) | Self::Resend(..) => CallState::Pending,
        }
    }

    const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Succeeded(_) => None,
            Self::Rejected(failure)
            | Self::Unknown(failure)
            | Self::NotExecuted(_, failure)
            | Self::Resend(_, failure) => Some(failure),
        }
    }
}

/// What became of finishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It is written.
    Written,
    /// The claim is no longer the caller's: nothing was changed.
    Stale,
}

impl Table {
    /// Asks for a call: records it as pending unless its key is taken.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost, or the record kept changing.
    pub async fn ask(&self, new: NewCall<'_>, replace: Replace, now: EpochMillis) -> Result<Asked, StoreError> {
        let json = new.request.to_json();
        let digest = sha256_hex(json.as_bytes());
        for _ in 0..MAX_TRIES {
            let Some(present) = self.put_call(new, &json, &digest, now).await? else { return Ok(Asked::Recorded) };
            if present.revision == new.revision {
                return Ok(Asked::Recorded);
            }
            if present.request_digest == digest && !present.may_be_asked_again {
                // Whoever meant to take back what was asked for before must not take back what is asked for now.
                let may_be_taken_back = present.state == CallState::Pending && present.unsettled == 0;
                if replace == Replace::PendingOrRejected && may_be_taken_back {
                    if self.renew(new, &present).await? {
                        return Ok(Asked::Recorded);
                    }
                    continue;
                }
                return Ok(Asked::Same(Box::new(present)));
            }
            let gives_way = match present.state {
                CallState::Rejected => true,
                CallState::Pending => replace == Replace::PendingOrRejected && present.unsettled == 0,
                _ => false,
            };
            if !gives_way {
                return Ok(Asked::Different(Box::new(present)));
            }
            if self.replace_call(new, &json, &digest, &present, now).await? {
                return Ok(Asked::Recorded);
            }
        }
        Err(StoreError::Contended { pk: pk(new.id) })
    }

    /// Writes a new record; gives the present one if there is one.
    async fn put_call(
        &self,
        new: NewCall<'_>,
        json: &str,
        digest: &str,
        now: EpochMillis,
    ) -> Result<Option<CallRecord>, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", s(pk(new.id)))
            .item("sk", s(SK))
            .item("call", s(new.id.call.as_str()))
            .item("key", s(new.id.key.as_str()))
            .item("state", s(CallState::Pending.as_str()))
            .item("request_json", s(json))
            .item("request_digest", s(digest))
            .item("resend", s(new.request.resend().as_str()))
            .item("revision", s(new.revision))
            .item("unfinished", Looker::Sweep.partition_of(&pk(new.id)))
            .item("look_at", n(now.plus(GRACE).0))
            .item("attempt", n(0))
            .item("unsettled", n(0))
            .item("not_before", n(now.0))
            .item("asked_by", s(new.asked_by))
            .item("created_at", n(now.0))
            .item("updated_at", n(now.0))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match new.notified_at {
            Some(at) => put.item("notified_at", n(at.0)),
            None => put,
        };
        let result = put.send().await;
        let error = match result {
            Ok(_) => return Ok(None),
            Err(error) => error,
        };
        if let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error()
            && let Some(item) = &failed.item
        {
            return read(item.clone()).map(Some);
        }
        Err(StoreError::of("PutItem of a call")(error))
    }

    /// Gives a pending record that was asked for again another revision; `false` if it changed in between.
    async fn renew(&self, new: NewCall<'_>, present: &CallRecord) -> Result<bool, StoreError> {
        let result = self
            .update_call(new.id)
            .update_expression("SET revision = :revision")
            .condition_expression("revision = :present AND #state = :pending AND unsettled = :zero")
            .expression_attribute_values(":revision", s(new.revision))
            .expression_attribute_values(":present", s(&present.revision))
            .expression_attribute_values(":pending", s(CallState::Pending.as_str()))
            .expression_attribute_values(":zero", n(0))
            .send()
            .await;
        Ok(match before(result.map(drop), "UpdateItem of a call")? {
            Before::Written => true,
            // One's own write, its answer lost, and sent again by the SDK.
            Before::Refused(present) => present.is_some_and(|present| present.revision == new.revision),
        })
    }

    /// Sets another request on a record that gives way; `false` if it changed in between.
    async fn replace_call(
        &self,
        new: NewCall<'_>,
        json: &str,
        digest: &str,
        present: &CallRecord,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let result = self
            .update_call(new.id)
            .update_expression(format!(
                "SET #state = :pending, request_json = :request, request_digest = :digest, resend = :resend, \
                 revision = :revision, unsettled = :zero, not_before = :now, asked_by = :asked_by, \
                 updated_at = :now, {}{} REMOVE #owner, lease_until, last_error, expires_at, may_be_asked_again{}",
                unfinished::SET,
                if new.notified_at.is_some() { ", notified_at = :notified" } else { "" },
                if new.notified_at.is_some() { "" } else { ", notified_at" },
            ))
            .optional_value(":notified", new.notified_at.map(|at| n(at.0)))
            .indexed(&pk(new.id), Looker::Sweep, now.plus(GRACE))
            .condition_expression(
                "revision = :present AND #state = :was AND attempt = :attempts AND unsettled = :unsettled",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":pending", s(CallState::Pending.as_str()))
            .expression_attribute_values(":request", s(json))
            .expression_attribute_values(":digest", s(digest))
            .expression_attribute_values(":resend", s(new.request.resend().as_str()))
            .expression_attribute_values(":revision", s(new.revision))
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":asked_by", s(new.asked_by))
            .expression_attribute_values(":present", s(&present.revision))
            .expression_attribute_values(":was", s(present.state.as_str()))
            .expression_attribute_values(":attempts", n(present.attempt.into()))
            .expression_attribute_values(":unsettled", n(present.unsettled))
            .send()
            .await;
        match before(result.map(drop), "UpdateItem of a call")? {
            Before::Written => Ok(true),
            Before::Refused(_) => Ok(false),
        }
    }

    /// Claims a call for `owner`, who must have a token of its own for every claim. One request, which also
    /// reads the request to be sent.
    ///
    /// # Errors
    /// If DynamoDB did not answer: then the claim may be the caller's or not; its lease will run out.
    pub async fn claim(
        &self,
        id: &CallId,
        owner: &str,
        lease: Duration,
        now: EpochMillis,
    ) -> Result<Claim, StoreError> {
        let result = self
            .update_call(id)
            // `unsettled` counts this attempt until its end is known; if its owner dies, it stays counted.
            .update_expression(format!(
                "SET #state = :in_progress, #owner = :owner, lease_until = :lease, updated_at = :now, {} \
                 ADD attempt :one, unsettled :one",
                unfinished::SET
            ))
            .indexed(&pk(id), Looker::Sweep, now.plus(lease).plus(GRACE))
            .condition_expression(
                "(#state = :pending AND not_before <= :now) OR \
                 (#state = :in_progress AND lease_until < :now AND resend = :again)",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":in_progress", s(CallState::InProgress.as_str()))
            .expression_attribute_values(":pending", s(CallState::Pending.as_str()))
            .expression_attribute_values(":again", s(Resend::Again.as_str()))
            .expression_attribute_values(":owner", s(owner))
            .expression_attribute_values(":lease", n(now.plus(lease).0))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let result = match result {
            Ok(output) => {
                return read(output.attributes.unwrap_or_default()).map(|record| Claim::Claimed(Box::new(record)));
            }
            Err(error) => before(Err(error), "UpdateItem of a call")?,
        };
        let Before::Refused(Some(present)) = result else { return Ok(Claim::Missing) };
        Ok(match (present.state, present.lease_until) {
            // The claim was written, its answer was lost, and the SDK sent it again.
            (CallState::InProgress, _) if present.owner.as_deref() == Some(owner) => Claim::Claimed(present),
            (CallState::InProgress, Some(until)) if until >= now => Claim::Busy(until),
            (CallState::InProgress, _) => Claim::Abandoned(present),
            (CallState::Pending, _) => Claim::NotDue(present.not_before),
            (state, _) => Claim::Done(state),
        })
    }

    /// Finishes a claimed call. Only its owner can; a stale one changes nothing.
    ///
    /// # Errors
    /// If DynamoDB did not answer: then the record may be finished or not; its lease will run out.
    pub async fn finish(
        &self,
        claimed: &CallRecord,
        finish: &Finish,
        outcome: &str,
        now: EpochMillis,
    ) -> Result<Finished, StoreError> {
        let owner = claimed.owner.as_deref().unwrap_or_default();
        let state = finish.state();
        let entry = Attempt {
            attempt: claimed.attempt,
            owner: owner.to_owned(),
            at: now,
            outcome: outcome.to_owned(),
            error: finish.failure().cloned(),
            note: None,
        };
        let mut set = "SET #state = :state, updated_at = :now, history = :history".to_owned();
        let mut remove = " REMOVE lease_until".to_owned();
        let mut update = self
            .update_call(&claimed.id())
            .expression_attribute_values(":history", attribute(claimed.history_with(&entry))?);
        if let Some(failure) = finish.failure() {
            set.push_str(", last_error = :error");
            update = update.expression_attribute_values(":error", attribute(failure)?);
        } else {
            remove.push_str(", last_error");
        }
        if let Finish::Succeeded(reply) = finish {
            set.push_str(", reply = :reply");
            update = update.expression_attribute_values(":reply", attribute(reply)?);
        }
        if let Finish::NotExecuted(not_before, _) | Finish::Resend(not_before, _) = finish {
            set.push_str(", not_before = :not_before");
            update = update.expression_attribute_values(":not_before", n(not_before.0));
        }
        update = match finish {
            Finish::NotExecuted(not_before, _) | Finish::Resend(not_before, _) => {
                update.indexed(&pk(&claimed.id()), Looker::Sweep, not_before.plus(GRACE))
            }
            Finish::Unknown(_) => update.indexed(&pk(&claimed.id()), Looker::Person, claimed.created_at),
            Finish::Succeeded(_) | Finish::Rejected(_) => {
                let expires_at = now.plus(self.retention).epoch_seconds();
                update.expression_attribute_values(":expires", n(expires_at))
            }
        };
        // What is unfinished does not expire.
        if looker_at_call(state).is_some() {
            set = format!("{set}, {}", unfinished::SET);
        } else {
            set.push_str(", expires_at = :expires");
            remove = format!("{remove}, {}", unfinished::REMOVE);
        }
        let settled = if matches!(finish, Finish::NotExecuted(..)) { " ADD unsettled :minus_one" } else { "" };
        if !settled.is_empty() {
            update = update.expression_attribute_values(":minus_one", n(-1));
        }
        let result = update
            .update_expression(format!("{set}{remove}{settled}"))
            .condition_expression("#owner = :owner AND #state = :in_progress")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", s(owner))
            .expression_attribute_values(":in_progress", s(CallState::InProgress.as_str()))
            .expression_attribute_values(":state", s(state.as_str()))
            .expression_attribute_values(":now", n(now.0))
            .send()
            .await;
        Ok(match before(result.map(drop), "UpdateItem of a call")? {
            Before::Written => Finished::Written,
            // Written, its answer lost, and sent again by the SDK: the owner token is still ours.
            Before::Refused(Some(present)) if present.owner.as_deref() == Some(owner) && present.state == state => {
                Finished::Written
            }
            Before::Refused(_) => Finished::Stale,
        })
    }

    /// Marks a call as unknown whose sender's lease ran out and which must not be sent again.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn give_up(
        &self,
        abandoned: &CallRecord,
        failure: &Failure,
        now: EpochMillis,
    ) -> Result<Finished, StoreError> {
        let entry = Attempt {
            attempt: abandoned.attempt,
            owner: abandoned.owner.clone().unwrap_or_default(),
            at: now,
            outcome: "abandoned".to_owned(),
            error: Some(failure.clone()),
            note: None,
        };
        let result = self
            .update_call(&abandoned.id())
            .update_expression(format!(
                "SET #state = :unknown, last_error = :error, updated_at = :now, history = :history, {} \
                 REMOVE lease_until",
                unfinished::SET
            ))
            .indexed(&pk(&abandoned.id()), Looker::Person, abandoned.created_at)
            .condition_expression("#owner = :owner AND #state = :in_progress AND lease_until < :now")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":history", attribute(abandoned.history_with(&entry))?)
            .expression_attribute_values(":unknown", s(CallState::Unknown.as_str()))
            .expression_attribute_values(":in_progress", s(CallState::InProgress.as_str()))
            .expression_attribute_values(":owner", s(abandoned.owner.as_deref().unwrap_or_default()))
            .expression_attribute_values(":error", attribute(failure)?)
            .expression_attribute_values(":now", n(now.0))
            .send()
            .await;
        Ok(match before(result.map(drop), "UpdateItem of a call")? {
            Before::Written => Finished::Written,
            Before::Refused(_) => Finished::Stale,
        })
    }

    /// Takes a call back that certainly was not sent; `false` if it was, or may have been, or has changed.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn withdraw(&self, call: &CallRecord, why: &str, now: EpochMillis) -> Result<bool, StoreError> {
        let result = self
            .update_call(&call.id())
            .update_expression(format!(
                "SET #state = :rejected, may_be_asked_again = :true, last_error = :error, updated_at = :now, \
                 expires_at = :expires REMOVE {}",
                unfinished::REMOVE
            ))
            .condition_expression("#state = :pending AND unsettled = :zero AND revision = :revision")
            .expression_attribute_values(":rejected", s(CallState::Rejected.as_str()))
            .expression_attribute_values(":pending", s(CallState::Pending.as_str()))
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(
                ":error",
                attribute(Failure::of(format!("withdrawn before it was sent: {why}")))?,
            )
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":expires", n(now.plus(self.retention).epoch_seconds()))
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_values(":revision", s(&call.revision))
            .send()
            .await;
        Ok(match before(result.map(drop), "UpdateItem of a call")? {
            Before::Written => true,
            // Or it was just that, its answer lost, and the SDK sent it again.
            Before::Refused(present) => present.is_some_and(|present| {
                present.state == CallState::Rejected && present.may_be_asked_again && present.revision == call.revision
            }),
        })
    }

    /// Lets a rejected call be asked for again with the same request; `false` if it has changed since it was read.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn let_be_asked_again(&self, rejected: &CallRecord) -> Result<bool, StoreError> {
        let result = self
            .update_call(&rejected.id())
            .update_expression("SET may_be_asked_again = :true")
            .condition_expression("#state = :rejected AND revision = :revision")
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":rejected", s(CallState::Rejected.as_str()))
            .expression_attribute_values(":revision", s(&rejected.revision))
            .send()
            .await;
        Ok(matches!(before(result.map(drop), "UpdateItem of a call")?, Before::Written))
    }

    /// Writes down what a person found out about a call that nobody knew the outcome of, or that one refused by TOP
    /// is to be sent again; `false` if it has changed since it was read. A call to be sent again is pending then:
    /// enqueue its key.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn resolve(
        &self,
        settled: &CallRecord,
        resolution: Resolution,
        by: &str,
        note: &str,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let entry = Attempt {
            attempt: settled.attempt,
            owner: by.to_owned(),
            at: now,
            outcome: resolution.as_outcome().to_owned(),
            error: None,
            note: Some(note.to_owned()),
        };
        let state = resolution.state();
        let update = self
            .update_call(&settled.id())
            .expression_attribute_values(":history", attribute(settled.history_with(&entry))?);
        let set = "SET #state = :state, updated_at = :now, history = :history";
        let update = if looker_at_call(state).is_some() {
            // The person says that it did not take effect, so nothing is unsettled any more.
            update
                .update_expression(format!(
                    "{set}, not_before = :now, unsettled = :zero, {} REMOVE expires_at",
                    unfinished::SET
                ))
                .expression_attribute_values(":zero", n(0))
                .indexed(&pk(&settled.id()), Looker::Sweep, now.plus(GRACE))
        } else {
            update
                .update_expression(format!("{set}, expires_at = :expires REMOVE {}", unfinished::REMOVE))
                .expression_attribute_values(":expires", n(now.plus(self.retention).epoch_seconds()))
        };
        let result = update
            .condition_expression(
                "#state = :was AND revision = :revision AND attempt = :attempts AND attribute_not_exists(may_be_asked_again)",
            )
            .expression_attribute_values(":state", s(state.as_str()))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":was", s(settled.state.as_str()))
            .expression_attribute_values(":revision", s(&settled.revision))
            .expression_attribute_values(":attempts", n(settled.attempt.into()))
            .send()
            .await;
        Ok(matches!(before(result.map(drop), "UpdateItem of a call")?, Before::Written))
    }

    /// Reads one call, as it is now.
    ///
    /// # Errors
    /// If DynamoDB did not answer, or the item is not one of ours.
    pub async fn call(&self, id: &CallId) -> Result<Option<CallRecord>, StoreError> {
        self.get(&pk(id), SK, "GetItem of a call").await?.map(read).transpose()
    }

    /// Reads several calls, as they are now; those that do not exist are left out.
    ///
    /// # Errors
    /// If DynamoDB did not answer, or an item is not one of ours.
    pub async fn calls(&self, ids: impl IntoIterator<Item = &CallId>) -> Result<Vec<CallRecord>, StoreError> {
        let keys: Vec<Item> =
            ids.into_iter().map(|id| Item::from([("pk".into(), s(pk(id))), ("sk".into(), s(SK))])).collect();
        let mut records = Vec::new();
        // BatchGetItem takes 100 keys at most, and may leave some for another request.
        for keys in keys.chunks(100) {
            let mut wanted = keys.to_vec();
            for _ in 0..MAX_TRIES {
                let request = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
                let request = request.map_err(|error| StoreError::Request {
                    operation: "BatchGetItem of calls",
                    cause: error.to_string(),
                })?;
                let output = self
                    .client
                    .batch_get_item()
                    .request_items(&self.name, request)
                    .send()
                    .await
                    .map_err(StoreError::of("BatchGetItem of calls"))?;
                for item in output.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                    records.push(read(item)?);
                }
                wanted = output.unprocessed_keys.into_iter().flatten().flat_map(|(_, rest)| rest.keys).collect();
                if wanted.is_empty() {
                    break;
                }
            }
            if !wanted.is_empty() {
                let cause = "it left keys unprocessed again and again".to_owned();
                return Err(StoreError::Request { operation: "BatchGetItem of calls", cause });
            }
        }
        Ok(records)
    }

    fn update_call(&self, id: &CallId) -> UpdateItemFluentBuilder {
        self.update(&pk(id), SK)
            // A reserved word, and every update of a call turns on it.
            .expression_attribute_names("#state", "state")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

/// What a conditional write found.
enum Before {
    Written,
    /// The condition failed; the record as it is, if there is one.
    Refused(Option<Box<CallRecord>>),
}

fn before<R>(result: Result<(), SdkError<UpdateItemError, R>>, operation: &'static str) -> Result<Before, StoreError>
where
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let error = match result {
        Ok(()) => return Ok(Before::Written),
        Err(error) => error,
    };
    if let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
        let present = failed.item.clone().filter(|item| !item.is_empty());
        return present.map(|item| read(item).map(Box::new)).transpose().map(Before::Refused);
    }
    Err(StoreError::of(operation)(error))
}

fn attribute<T: Serialize>(value: T) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(value)
        .map_err(|error| StoreError::Request { operation: "serialising a record", cause: error.to_string() })
}
