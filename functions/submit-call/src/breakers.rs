//! `POST /breakers/{call}/pause` holds all calls of a kind back until `POST /breakers/{call}/resume`. `GET /breakers`: lists the calls that are held back, and why. `POST /breakers/{call}/retry-now`: an operator has one
//! of them tried now; if it succeeds, the others follow. `POST /calls/{call}/{key}/retry-now` does so for one call.

use std::time::Duration;

use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use relay_runtime::http::{self, Refused};
use relay_store::StoreError;
use relay_types::api::{HeldBackList, PauseRequest, ResumeRequest, RetryNowRequest};
use relay_types::breaker::Breaker;
use relay_types::call::CallKind;
use relay_types::view;

use crate::{SubmitCall, refused};

/// The longest time until an alarm reminds of a pause: a week.
const MOST_MINUTES: u64 = 7 * 24 * 60;

impl SubmitCall {
    pub(crate) async fn answer_breakers(&self, request: &Request) -> Response<Body> {
        if request.method() != Method::GET {
            return http::wrong_method("GET");
        }
        match self.store.breakers(self.clock.now()).await {
            Ok(breakers) => {
                let items = breakers.iter().map(view::held_back).collect();
                http::json(StatusCode::OK, &HeldBackList { items })
            }
            Err(error) => refused(error.into()),
        }
    }

    pub(crate) async fn retry_kind_now(&self, kind: CallKind, request: &Request) -> Result<Response<Body>, Refused> {
        let RetryNowRequest { note, account } = http::read_body(request)?;
        http::check_note(&note)?;
        let is_meant = |breaker: &Breaker| {
            breaker.call == kind && account.as_ref().is_none_or(|account| breaker.account == *account)
        };
        let tried = self.try_now(is_meant).await?;
        if tried.is_empty() {
            let message = format!("no calls of {kind} are held back");
            return Ok(http::refusal(StatusCode::CONFLICT, None, &message));
        }
        tracing::warn!(call = %kind, account, by = http::caller(request), note, "operator had a call tried now");
        let items = tried.iter().map(view::held_back).collect();
        Ok(http::json(StatusCode::ACCEPTED, &HeldBackList { items }))
    }

    pub(crate) async fn pause(&self, kind: CallKind, request: &Request) -> Result<Response<Body>, Refused> {
        let PauseRequest { note, remind_in_minutes } = http::read_body(request)?;
        http::check_required_note(&note)?;
        let minutes = u64::try_from(remind_in_minutes).ok().filter(|minutes| (1..=MOST_MINUTES).contains(minutes));
        let Some(minutes) = minutes else {
            let message = format!("remind_in_minutes must be a whole number from 1 to {MOST_MINUTES}");
            return Ok(http::refusal(StatusCode::BAD_REQUEST, Some("remind_in_minutes"), &message));
        };
        let (now, by) = (self.clock.now(), http::caller(request));
        let remind_at = now.plus(Duration::from_secs(minutes * 60));
        self.store.pause(kind, (&by, &note), remind_at, now).await?;
        tracing::warn!(call = %kind, by, note, %remind_at, "operator paused the call");
        self.held_of(kind).await
    }

    pub(crate) async fn resume(&self, kind: CallKind, request: &Request) -> Result<Response<Body>, Refused> {
        let ResumeRequest { note } = http::read_body(request)?;
        http::check_note(&note)?;
        if !self.store.resume(kind).await? {
            return Ok(http::refusal(StatusCode::CONFLICT, None, &format!("{kind} is not paused")));
        }
        tracing::warn!(call = %kind, by = http::caller(request), note, "operator resumed the call");
        self.held_of(kind).await
    }

    /// What holds calls of this kind back now.
    async fn held_of(&self, kind: CallKind) -> Result<Response<Body>, Refused> {
        let items = self.store.breakers_of(kind).await?.iter().map(view::held_back).collect();
        Ok(http::json(StatusCode::OK, &HeldBackList { items }))
    }

    /// Allows a trial now for the breakers that are meant. Returns them.
    pub(crate) async fn try_now(&self, is_meant: impl Fn(&Breaker) -> bool) -> Result<Vec<Breaker>, StoreError> {
        let mut tried = Vec::new();
        let now = self.clock.now();
        for breaker in
            self.store.breakers(now).await?.into_iter().filter(|breaker| !breaker.is_pause() && is_meant(breaker))
        {
            if self.store.allow_trial(&breaker.account, breaker.call, None, now).await? {
                tried.push(Breaker { until: now, trial: None, ..breaker });
            }
        }
        Ok(tried)
    }
}
