//! Records the outcome of an attempt, and logs it.

use relay_runtime::queue::backoff;
use relay_store::StoreError;
use relay_top::error::ErrorClass;
use relay_top::response::Outcome;
use relay_types::breaker::Breaker;
use relay_types::call::{Lane, Resend};
use relay_types::record::{Attempted, OrderRecord, RecordKey};

use crate::Sender;

impl Sender {
    /// Records the outcome of an attempt, together with the next decision. Hands in only the outcome, and leaves the
    /// decision to dispatch, if facts arrived meanwhile or the decision needs more than the record. `false` if another
    /// sender has taken over the claim.
    pub(crate) async fn finish(
        &self,
        claimed: &OrderRecord,
        attempted: &Attempted,
        trace_header: Option<&str>,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let owner = claimed.sending.as_ref().map(|sending| sending.owner.clone()).unwrap_or_default();
        let began = claimed.began;
        if let Ok(decided) = relay_decide::finish(claimed, attempted, now, &self.settings)
            && decided.wakes.is_empty()
            && self.store.replace(claimed, &decided.record, &owner).await?
        {
            // The next total may be the new target.
            if decided.record.generation != claimed.generation {
                self.wake(&decided.record.key, trace_header).await;
            }
            return Ok(true);
        }
        let handed_in = self.store.hand_in(&claimed.key, (&owner, began), attempted, now).await?;
        if handed_in {
            self.wake(&claimed.key, trace_header).await;
        }
        Ok(handed_in)
    }

    /// Enqueues a record's key for dispatch. If that fails, the sweep enqueues it.
    async fn wake(&self, key: &RecordKey, trace_header: Option<&str>) {
        if let Err(error) = self.notifications.send(key, trace_header).await {
            tracing::warn!(record = %key, %error, "record not enqueued: the sweep will enqueue it");
        }
    }

    /// Converts TOP's outcome into the attempt's outcome for the record, with the time of the next attempt. If `held` holds
    /// the calls back, the breaker knows until when, so the record only waits until its sender asks again.
    pub(crate) fn attempted(&self, outcome: Outcome, record: &OrderRecord, held: Option<&Breaker>) -> Attempted {
        let now = self.clock.now();
        let next_try = || now.plus(backoff::pause(record.attempt, (self.random)()));
        let (class, failure) = match outcome {
            Outcome::Succeeded(reply) => return Attempted::Succeeded(reply),
            Outcome::Failed(class, failure) => (class, failure),
        };
        let resend = record.target.as_ref().map(|target| target.resend);
        match (class, held) {
            (ErrorClass::Rejected, _) => Attempted::Refused(failure),
            (ErrorClass::NotExecuted { .. } | ErrorClass::ConfigurationFault, Some(held)) => {
                Attempted::NotExecuted(now.plus(self.breakers.pause(held, (self.random)())), failure)
            }
            (ErrorClass::NotExecuted { .. }, None) => Attempted::NotExecuted(next_try(), failure),
            (ErrorClass::ConfigurationFault, None) => {
                Attempted::NotExecuted(now.plus(backoff::at_least(backoff::SLOW_PACE, (self.random)())), failure)
            }
            (ErrorClass::Ambiguous, _) if resend == Some(Resend::Again) => Attempted::Resend(next_try(), failure),
            (ErrorClass::Ambiguous | ErrorClass::AmbiguousForGood, _) => Attempted::Unknown(failure),
        }
    }

    /// Logs one line per attempt. TOP's message may quote the request, so it is kept in the record only.
    pub(crate) fn log(
        &self,
        lane: &Lane,
        account: &str,
        record: &OrderRecord,
        attempted: &Attempted,
        is_configuration_fault: bool,
    ) {
        let attempt = record.attempt;
        let outcome = attempted.as_str();
        if let Attempted::Succeeded(reply) = attempted {
            tracing::info!(call = %lane, account, attempt, outcome, request_id = reply.request_id, "call sent");
            return;
        }
        let failure = attempted.failure();
        let code = failure.and_then(|failure| failure.code);
        let sub_code = failure.and_then(|failure| failure.sub_code.as_deref());
        let request_id = failure.and_then(|failure| failure.request_id.as_deref());
        tracing::warn!(call = %lane, account, attempt, outcome, code, sub_code, request_id, "call failed");
        if is_configuration_fault {
            // At error, which every `LogLevel` includes: an alarm counts these lines.
            let means = "configuration fault: correct the credentials, permissions, IP white-list or function version";
            tracing::error!(call = %lane, account, code, sub_code, configuration_fault = true, "{means}");
        }
    }
}
