//! Sends a claimed call, and derives what its breaker must learn from the attempt.

use std::time::Duration;

use relay_runtime::queue::batch::{Handled, Invocation};
use relay_runtime::xray;
use relay_top::client::SendError;
use relay_top::credentials::{Accounts, Credentials};
use relay_top::error::{Ban, ErrorClass};
use relay_top::form;
use relay_top::response::{self, Outcome};
use relay_types::account::DEFAULT_ACCOUNT;
use relay_types::breaker::Breaker;
use relay_types::call::{CallRequest, Lane};
use relay_types::failure::Failure;
use relay_types::record::{Attempted, OrderRecord};
use relay_types::time::EpochMillis;

use crate::breaker::{Pass, Signal, in_time};
use crate::{SKEW, Sender, Sending, lacks};

/// Reserved after TOP's time-out to record the outcome: all attempts of that request, and the batch's reserve.
const TIME_TO_FINISH: Duration = Duration::from_secs(10);
/// A request is sent only if TOP has at least this much time to answer.
const LEAST_FOR_TOP: Duration = Duration::from_secs(1);
/// A call is claimed only if this much is left: a look at the breaker, and the times above.
pub(crate) const LEAST_TO_CLAIM: Duration = Duration::from_secs(15);

/// What became of one attempt.
#[derive(Debug)]
enum Tried {
    /// The request reached TOP, or may have reached it.
    Sent(Outcome),
    /// Nothing was sent. The class says who is at fault.
    NotSent(ErrorClass, Failure),
    /// Nothing was sent, because the secret lacks the account.
    WithoutAccount(Failure),
    /// Nothing was sent, because this breaker holds the call back.
    HeldBack(Breaker),
}

/// What an attempt means for the record and for the breaker.
struct Conclusion {
    outcome: Outcome,
    /// What holds the call back now.
    held: Option<Breaker>,
    signal: Option<Signal>,
}

/// One attempt of a call.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    named: Option<&'a str>,
    account: &'a str,
    pass: &'a Pass,
    lane: &'a Lane,
    request: &'a CallRequest,
    invocation: &'a Invocation,
    trace_header: Option<&'a str>,
}

impl Sender {
    /// Sends a claimed call. `asked` is the account of the message, whose breaker gave `pass`.
    pub(crate) async fn send(
        &self,
        record: &OrderRecord,
        accounts: &Accounts,
        (asked, pass): (&str, Pass),
        invocation: &Invocation,
        trace_header: Option<&str>,
    ) -> Handled {
        let Some(target) = &record.target else { return Handled::Done };
        let (lane, named) = (target.lane(), target.account.as_deref());
        let account = self.account_of(accounts, named);
        let (name, is_default) = match &account {
            Some(account) => (&*account.name, account.is_default),
            None => (named.unwrap_or(DEFAULT_ACCOUNT), named.is_none()),
        };
        let pass = if name == asked {
            Ok(pass)
        } else {
            // The facts named another account when the message was sent.
            self.give_back(asked, &pass).await;
            in_time(self.breakers.ask(name, false, &self.random)).await
        };
        let (tried, pass) = match (pass, &account) {
            (Err(problem), _) => (not_executed(problem), Pass::Free),
            (Ok(Pass::Held(breaker)), _) => (Tried::HeldBack(breaker), Pass::Free),
            (Ok(pass), None) => (Tried::WithoutAccount(Failure::of(lacks(named, self.kind))), pass),
            (Ok(pass), Some(Sending { credentials, .. })) => {
                let tried = match self.request(record).await {
                    Ok(request) => {
                        let (lane, request, pass) = (&lane, &request, &pass);
                        let attempt = Attempt { named, account: name, pass, lane, request, invocation, trace_header };
                        self.attempt(attempt, credentials).await
                    }
                    Err((class, problem)) => Tried::NotSent(class, Failure::of(problem)),
                };
                (tried, pass)
            }
        };
        let was_held = matches!(tried, Tried::HeldBack(_));
        let Conclusion { outcome, held, signal } = self.conclude((name, is_default), tried, record, &pass);
        let is_configuration_fault = matches!(outcome, Outcome::Failed(ErrorClass::ConfigurationFault, _));
        let attempted = self.attempted(outcome, record, held.as_ref());
        if was_held {
            tracing::info!(call = %lane, account = name, "call held back");
        } else {
            self.log(&lane, name, record, &attempted, is_configuration_fault);
        }
        let told = async {
            if let Some(signal) = signal {
                self.breakers.tell(name, signal).await;
            }
        };
        // At the same time: a breaker that cannot be written must not cost the outcome.
        let (recorded, ()) = tokio::join!(self.finish(record, &attempted, trace_header), told);
        match recorded {
            Err(error) => {
                tracing::error!(call = %lane, %error, "outcome not recorded: the resend policy decides after the lease expires");
                let left = record.sending.as_ref().map_or(SKEW, |sending| self.clock.now().until(sending.until));
                Handled::Failed(left + Duration::from_secs(1))
            }
            Ok(false) => {
                tracing::error!(call = %lane, "outcome not recorded: another sender has taken over the claim");
                Handled::Done
            }
            Ok(true) => match &attempted {
                Attempted::NotExecuted(due, _) | Attempted::Resend(due, _) => {
                    let pause = self.clock.now().until(*due);
                    // A call that is held back has not failed.
                    if held.is_some() { Handled::Again(pause) } else { Handled::Failed(pause) }
                }
                _ => Handled::Done,
            },
        }
    }

    /// Derives what the attempt means. Needs no request, so nothing comes between TOP's answer and its record.
    fn conclude(&self, account: (&str, bool), tried: Tried, record: &OrderRecord, pass: &Pass) -> Conclusion {
        let before = record.target.as_ref().and_then(|target| target.failure.as_ref());
        let outcome = match tried {
            Tried::Sent(outcome) => outcome,
            Tried::NotSent(class, failure) => {
                let signal = trial(pass).map(Signal::GiveBack);
                return Conclusion { outcome: Outcome::Failed(class, failure), held: None, signal };
            }
            Tried::WithoutAccount(failure) => return self.trip(account, ErrorClass::ConfigurationFault, failure, None),
            Tried::HeldBack(breaker) => {
                // TOP's last answer says more than this.
                let text = || Failure::of(format!("not sent: calls are held back until {}", breaker.until));
                let failure = before
                    .filter(|before| before.code.is_some() || before.sub_code.is_some())
                    .cloned()
                    .unwrap_or_else(text);
                let outcome = Outcome::Failed(ErrorClass::NotExecuted { ban: None }, failure);
                return Conclusion { outcome, held: Some(breaker), signal: trial(pass).map(Signal::GiveBack) };
            }
        };
        let reset = || trial(pass).map(Signal::Reset);
        let signal = match &outcome {
            Outcome::Failed(class @ ErrorClass::NotExecuted { ban: Some(ban) }, failure) => {
                let now = self.clock.now();
                let ends = match ban {
                    Ban::For(duration) => now.plus(*duration),
                    Ban::UntilMidnight => now.next_china_midnight(),
                };
                return self.trip(account, *class, failure.clone(), Some(ends));
            }
            // The breaker was reset since this call failed in the same way, so other calls succeed: its own order is at
            // fault, and must not hold back the others again.
            Outcome::Failed(ErrorClass::ConfigurationFault, failure)
                if *pass == Pass::Free && before.is_some_and(|before| is_same(before, failure)) =>
            {
                None
            }
            Outcome::Failed(class @ ErrorClass::ConfigurationFault, failure) => {
                return self.trip(account, *class, failure.clone(), None);
            }
            Outcome::Succeeded(_) | Outcome::Failed(ErrorClass::Rejected, _) => reset(),
            // Perhaps a limit without a time. Another trial follows.
            Outcome::Failed(ErrorClass::NotExecuted { .. }, _) => None,
            // TOP's gateway let the call through if it names an error.
            Outcome::Failed(_, failure) => reset().filter(|_| failure.code.is_some()),
        };
        Conclusion { outcome, held: None, signal }
    }

    fn trip(
        &self,
        account: (&str, bool),
        class: ErrorClass,
        failure: Failure,
        ends: Option<EpochMillis>,
    ) -> Conclusion {
        let breaker = self.breakers.tripped(account, &failure, ends);
        let signal = Some(Signal::Trip(breaker.clone()));
        Conclusion { outcome: Outcome::Failed(class, failure), held: Some(breaker), signal }
    }

    /// The request to send. If there is none, the call is retried later: DynamoDB may answer then, and another version
    /// of this function may be able to read the request.
    async fn request(&self, record: &OrderRecord) -> Result<CallRequest, (ErrorClass, String)> {
        let fault = |problem: String| (ErrorClass::ConfigurationFault, problem);
        let target = record.target.as_ref().ok_or_else(|| fault("the record has no target".to_owned()))?;
        let json = self.store.body(&record.key, &target.request).await;
        let json = json.map_err(|error| (ErrorClass::NotExecuted { ban: None }, error.to_string()))?;
        let json = json.ok_or_else(|| fault("the stored request is missing".to_owned()))?;
        CallRequest::from_stored(target.call, &json)
            .map_err(|problem| fault(format!("this version cannot read the stored request: {problem}")))
    }
    /// Sends the request; sends it once more if TOP refused the credentials and the secret has new ones.
    async fn attempt(&self, attempt: Attempt<'_>, credentials: &Credentials) -> Tried {
        let used_since = self.clock.now();
        let tried = self.exchange(attempt, credentials).await;
        if !matches!(tried, Tried::Sent(Outcome::Failed(ErrorClass::ConfigurationFault, _))) {
            return tried;
        }
        let fresh = match in_time(self.accounts.refresh(used_since)).await {
            Ok(accounts) => self.account_of(&accounts, attempt.named),
            Err(problem) => {
                tracing::error!(problem, "credentials not read again");
                return tried;
            }
        };
        match fresh.filter(|fresh| fresh.name == attempt.account && fresh.credentials != *credentials) {
            Some(fresh) => {
                tracing::warn!(call = %attempt.lane.call, account = fresh.name, "credentials changed: call retried with the new ones");
                self.exchange(attempt, &fresh.credentials).await
            }
            None => tried,
        }
    }

    async fn exchange(&self, attempt: Attempt<'_>, credentials: &Credentials) -> Tried {
        let Attempt { account, pass, lane, request, invocation, trace_header, .. } = attempt;
        // Another sender may have met a ban while this call was claimed.
        match in_time(self.breakers.recheck(account, pass)).await {
            Ok(None) => {}
            Ok(Some(breaker)) => return Tried::HeldBack(breaker),
            Err(problem) => return not_executed(problem),
        }
        let now = self.clock.now();
        let timeout = now.until(invocation.deadline).saturating_sub(TIME_TO_FINISH).min(self.top_timeout);
        if timeout < LEAST_FOR_TOP {
            return not_executed("not sent: too little time left in the invocation");
        }
        let form = form::build(request, credentials, self.sign_method, now);
        let answer = self.top.send(form, timeout).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        let told = xray::Sent {
            call: lane.call.as_ref(),
            key: &lane.id,
            from: now,
            to: self.clock.now(),
            status,
            id: (self.random)(),
        };
        self.traces.tell(trace_header, told);
        match answer {
            Ok(answer) => Tried::Sent(response::read(self.kind, answer.status, &answer.body, &self.error_classes)),
            Err(error @ SendError::NotSent(_)) => not_executed(error.to_string()),
            Err(error @ SendError::NoAnswer(_)) => {
                Tried::Sent(Outcome::Failed(ErrorClass::Ambiguous, Failure::of(error.to_string())))
            }
        }
    }
}

fn not_executed(problem: impl Into<String>) -> Tried {
    Tried::NotSent(ErrorClass::NotExecuted { ban: None }, Failure::of(problem))
}

fn trial(pass: &Pass) -> Option<String> {
    if let Pass::Trial(token) = pass { Some(token.clone()) } else { None }
}

/// Whether TOP gave the same error twice.
fn is_same(before: &Failure, now: &Failure) -> bool {
    let is_named = now.code.is_some() || now.sub_code.is_some();
    is_named && (before.code, &before.sub_code) == (now.code, &now.sub_code)
}
