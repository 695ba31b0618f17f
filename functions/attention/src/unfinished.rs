//! `GET /unfinished`: reads all unfinished records, then filters, counts and sorts them. Nothing of this is in an index:
//! there, every attempt of a call would cost a write, and a list is read some times a night.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt as _, Response};
use relay_runtime::http::{self, Refused};
use relay_types::account::is_account_name;
use relay_types::breaker::Cause;
use relay_types::reason::Reason;
use relay_types::time::EpochMillis;
use relay_types::unfinished::{Filter, List, Row, State, UnfinishedPage};

use crate::{Attention, WRONG_AFTER, bad, read_token, token};

/// The default page size.
const USUAL_PAGE: usize = 50;
/// The maximum page size. A row has some 500 bytes, and Lambda returns at most 6 MB.
const LARGEST_PAGE: usize = 1000;
/// How many records are read. The function has time for about three times as many.
const MOST: usize = 10_000;

impl Attention {
    /// Returns a page of the list. `?limit=` is the page size (default 50, maximum 1000), `?after=` the cursor; the other
    /// parameters are filters.
    pub(crate) async fn unfinished(&self, request: &Request) -> Result<Response<Body>, Refused> {
        let (filter, limit, after) = match read(request) {
            Ok(read) => read,
            Err((field, message)) => return Ok(bad(field, &message)),
        };
        let now = self.clock.now();
        let (found, breakers) = tokio::try_join!(self.store.unfinished(MOST), self.store.breakers(now))?;
        let mut list = List::new(filter);
        found.bodies.iter().filter_map(Row::of_body).for_each(|row| list.add(row));
        let add = |record| {
            if let Some(row) = Row::of_record(&record, &breakers, now) {
                list.add(row);
            }
        };
        let all_read = self.store.read_records(&found.records, add).await?;
        let (page, next) = list.page(limit, after.as_ref(), found.complete && all_read);
        let page = UnfinishedPage { next: next.as_ref().map(token), ..page };
        Ok(http::json(StatusCode::OK, &page))
    }
}

/// The name of a wrong parameter, and what is wrong with it.
type Wrong = (&'static str, String);

/// The filters, the page size, and the position of the last item of the page before.
type Read = (Filter, usize, Option<(EpochMillis, String)>);

/// Reads filters, page size and cursor. An unknown parameter is an error: a misspelt filter must not match everything.
fn read(request: &Request) -> Result<Read, Wrong> {
    let query = request.query_string_parameters();
    let (mut filter, mut limit, mut after) = (Filter::default(), USUAL_PAGE, None);
    for (name, value) in query.iter() {
        let one_of = |field, names: String| (field, format!("{field} must be one of {names}"));
        match name {
            "state" => {
                for state in value.split(',') {
                    let wrong = |_| one_of("state", State::ALL.map(|state| state.as_ref().to_owned()).join(", "));
                    filter.states.insert(state.parse().map_err(wrong)?);
                }
            }
            "partner" => {
                let partner = value.parse().map_err(|_| ("partner", "partner must be tsy or sctt".to_owned()));
                filter.partner = Some(partner?);
            }
            "kind" => {
                let wrong = |_| ("kind", "kind must be a kind of notification, such as issue-notify".to_owned());
                filter.notification = Some(value.parse().map_err(wrong)?);
            }
            "call" => {
                let wrong = |_| ("call", "call must be the name of a call, such as ship-notify".to_owned());
                filter.call = Some(value.parse().map_err(wrong)?);
            }
            "account" if is_account_name(value) => filter.account = Some(value.to_owned()),
            "account" => return Err(("account", "account must be the name of a TOP account".to_owned())),
            "reason" if value.parse::<Reason>().is_ok() || value.parse::<Cause>().is_ok() => {
                filter.reason = Some(value.to_owned());
            }
            "reason" => return Err(("reason", "reason must be the code of a reason that the list shows".to_owned())),
            "since" => filter.since = Some(time("since", value)?),
            "until" => filter.until = Some(time("until", value)?),
            "limit" => {
                let size = value.parse().ok().filter(|size| (1..=LARGEST_PAGE).contains(size));
                let wrong = || ("limit", format!("limit must be a whole number from 1 to {LARGEST_PAGE}"));
                limit = size.ok_or_else(wrong)?;
            }
            "after" => after = Some(read_token(value).ok_or_else(|| ("after", WRONG_AFTER.to_owned()))?),
            _ => {
                let known = "state, partner, kind, call, account, reason, since, until, limit and after";
                return Err(("query", format!("there is no parameter {name:?}; there are {known}")));
            }
        }
    }
    Ok((filter, limit, after))
}

fn time(field: &'static str, value: &str) -> Result<EpochMillis, Wrong> {
    let wrong = || (field, format!("{field} must be a time such as 2026-01-01T04:00:00Z"));
    EpochMillis::from_rfc3339(value).ok_or_else(wrong)
}
