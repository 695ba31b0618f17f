//! Circuit breakers, one item for each TOP account and call, and one for a pause of all accounts. All instances of a
//! sender share them. A breaker without `until` has not tripped.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use relay_types::breaker::{ALL_ACCOUNTS, Breaker, Cause, UNTIL_RESUMED};
use relay_types::call::CallKind;
use relay_types::time::EpochMillis;

use crate::{Item, Store, StoreError, Updated, attribute, entries, n, read, s, updated, written};

/// The partition of all breakers, so one Query lists them.
const PK: &str = "breaker";

fn sk(account: &str, call: CallKind) -> String {
    format!("{call}#{account}")
}

fn tripped(item: Item) -> Result<Option<Breaker>, StoreError> {
    if item.contains_key("until") { read(item).map(Some) } else { Ok(None) }
}

/// The result of asking for the trial of a breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// The caller may send one call.
    Granted(Breaker),
    /// Another instance has the trial, or the breaker changed. Holds the present breaker; `None` if it was reset.
    Refused(Option<Breaker>),
}

impl Store {
    fn update_breaker(&self, account: &str, call: CallKind) -> UpdateItemFluentBuilder {
        self.update(PK, &sk(account, call))
    }

    /// Reads the tripped breakers of a call with a consistent read.
    ///
    /// # Errors
    /// If DynamoDB did not respond.
    pub async fn breakers_of(&self, call: CallKind) -> Result<Vec<Breaker>, StoreError> {
        let query = self.query_breakers("pk = :pk AND begins_with(sk, :call)").consistent_read(true);
        let output = query.expression_attribute_values(":call", s(sk("", call))).send().await;
        Ok(entries(output.map_err(StoreError::of("Query of a call's breakers"))?.items).collect())
    }

    fn query_breakers(&self, keys: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .key_condition_expression(keys)
            .filter_expression("attribute_exists(#until)")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":pk", s(PK))
    }

    /// Lists the tripped breakers for which calls may be waiting.
    ///
    /// # Errors
    /// If DynamoDB did not respond.
    pub async fn breakers(&self, now: EpochMillis) -> Result<Vec<Breaker>, StoreError> {
        let output = self.query_breakers("pk = :pk").send().await.map_err(StoreError::of("Query of breakers"))?;
        Ok(entries(output.items).filter(|breaker: &Breaker| breaker.is_in_use(now)).collect())
    }

    /// Trips a breaker, unless it is tripped for longer already: then `false`.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn trip_breaker(&self, breaker: &Breaker) -> Result<bool, StoreError> {
        let Breaker { account, call, cause, since, until, code, sub_code, is_default, .. } = breaker;
        let mut set = "SET account = :account, #call = :call, cause = :cause, since = :since, #until = :until, \
                       is_default = :is_default"
            .to_owned();
        let mut remove = "REMOVE trial".to_owned();
        let mut update = self
            .update_breaker(account, *call)
            .condition_expression("attribute_not_exists(#until) OR #until < :until")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#call", "call")
            .expression_attribute_values(":account", s(account))
            .expression_attribute_values(":call", s(call.as_ref()))
            .expression_attribute_values(":cause", attribute(cause)?)
            .expression_attribute_values(":since", n(since.0))
            .expression_attribute_values(":until", n(until.0))
            .expression_attribute_values(":is_default", attribute(is_default)?);
        for (name, value) in [("code", code.map(n)), ("sub_code", sub_code.clone().map(s))] {
            update = update.expression_attribute_names(format!("#{name}"), name);
            match value {
                Some(value) => {
                    set += &format!(", #{name} = :{name}");
                    update = update.expression_attribute_values(format!(":{name}"), value);
                }
                None => remove += &format!(", #{name}"),
            }
        }
        let result = update.update_expression(format!("{set} {remove}")).send().await;
        written(result, "UpdateItem of a breaker")
    }

    /// Asks for the trial of a breaker that no longer blocks. Until `until`, no other instance gets it.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost. The trial may then be taken until `until`.
    pub async fn take_trial(&self, seen: &Breaker, token: &str, until: EpochMillis) -> Result<Trial, StoreError> {
        let result = self
            .update_breaker(&seen.account, seen.call)
            .update_expression("SET #until = :until, trial = :token")
            .condition_expression("#until = :seen")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":until", n(until.0))
            .expression_attribute_values(":seen", n(seen.until.0))
            .expression_attribute_values(":token", s(token))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let granted = || Trial::Granted(Breaker { until, trial: Some(token.to_owned()), ..seen.clone() });
        Ok(match updated(result.map(|_| None), "UpdateItem of a breaker's trial")? {
            Updated::Written(_) => granted(),
            Updated::Refused(item) => match tripped(item)? {
                // The write took effect, its response was lost, and the SDK repeated it.
                Some(present) if present.trial.as_deref() == Some(token) => granted(),
                present => Trial::Refused(present),
            },
        })
    }

    /// Resets a breaker after the successful trial `token`, unless it has tripped again since: then `false`.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost. Another trial then follows.
    pub async fn reset_breaker(&self, account: &str, call: CallKind, token: &str) -> Result<bool, StoreError> {
        let result = self
            .update_breaker(account, call)
            .update_expression("REMOVE #until, since, cause, code, sub_code, trial")
            .condition_expression("trial = :token")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":token", s(token))
            .send()
            .await;
        written(result, "UpdateItem of a breaker")
    }

    /// Allows a trial now: gives back the trial `token` that sent nothing, or, without one, because an operator asks.
    /// Returns `false` if there is nothing to allow.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost. The next trial is then allowed later.
    pub async fn allow_trial(
        &self,
        account: &str,
        call: CallKind,
        token: Option<&str>,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let update = self
            .update_breaker(account, call)
            .update_expression("SET #until = :now REMOVE trial")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":now", n(now.0));
        let update = match token {
            Some(token) => {
                update.condition_expression("trial = :token").expression_attribute_values(":token", s(token))
            }
            None => update.condition_expression("attribute_exists(#until)"),
        };
        written(update.send().await, "UpdateItem of a breaker")
    }

    /// Pauses a call for all accounts, or changes the note and the reminder of a pause.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn pause(
        &self,
        call: CallKind,
        (by, note): (&str, &str),
        remind_at: EpochMillis,
        now: EpochMillis,
    ) -> Result<(), StoreError> {
        let result = self
            .update_breaker(ALL_ACCOUNTS, call)
            .update_expression(
                "SET account = :account, #call = :call, cause = :cause, since = if_not_exists(since, :now), \
                 #until = :until, #by = :by, note = :note, remind_at = :remind_at",
            )
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#call", "call")
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":account", s(ALL_ACCOUNTS))
            .expression_attribute_values(":call", s(call.as_ref()))
            .expression_attribute_values(":cause", attribute(&Cause::Paused)?)
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":until", n(UNTIL_RESUMED.0))
            .expression_attribute_values(":by", s(by))
            .expression_attribute_values(":note", s(note))
            .expression_attribute_values(":remind_at", n(remind_at.0))
            .send()
            .await;
        written(result, "UpdateItem of a pause").map(drop)
    }

    /// Ends the pause of a call. Returns `false` if it is not paused.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn resume(&self, call: CallKind) -> Result<bool, StoreError> {
        let result = self
            .update_breaker(ALL_ACCOUNTS, call)
            .update_expression("REMOVE #until, since, cause, #by, note, remind_at")
            .condition_expression("attribute_exists(#until)")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#by", "by")
            .send()
            .await;
        written(result, "UpdateItem of a pause")
    }
}
