//! Judges how the relay obeys TOP's bans.
//!
//! An instance that was told of a ban sends nothing until it ends. It also writes the ban into the table; five seconds
//! later, no instance sends anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use relay_types::time::EpochMillis;
use serde_json::Value;

/// How long an instance may rely on what it read.
const SHARED_WITHIN: Duration = Duration::from_secs(5);
/// How much earlier a ban may seem to end: one clock may be half a minute slow, another half a minute fast.
const SKEW: i64 = 61_000;
/// All bans, and who knows of them.
#[derive(Debug, Default)]
pub struct Bans {
    /// The end of each ban, by the instance that was told of it and the API.
    told: BTreeMap<(u64, String), EpochMillis>,
    /// When a ban was written into the table and when it ends, by API.
    shared: BTreeMap<String, (EpochMillis, EpochMillis)>,
    /// Instances that may have failed to write a ban.
    excused: BTreeSet<u64>,
}

impl Bans {
    /// Notes the end of a ban, if the answer told the instance of one.
    pub fn answered(&mut self, instance: u64, api: &str, answer: &HttpResponse, now: EpochMillis) {
        let text = String::from_utf8_lossy(answer.body().bytes().unwrap_or_default());
        let until = match text.split_once("This ban will last for ") {
            Some((_, rest)) => {
                let seconds = rest.split(' ').next().and_then(|seconds| seconds.parse::<i64>().ok()).unwrap_or(0);
                EpochMillis(now.0 + seconds * 1000)
            }
            // The instance's clock may be half a minute fast.
            None if text.contains(crate::top_says::DAY_QUOTA) => EpochMillis(now.next_china_midnight().0 - 31_000),
            None => return,
        };
        self.told.insert((instance, api.to_owned()), until);
        self.excused.remove(&instance);
    }

    /// Notes that a request of the instance failed, so it may not have written the ban.
    pub fn excuse(&mut self, instance: u64) {
        self.excused.insert(instance);
    }

    /// Notes that TOP lifted its ban and an operator has the call tried.
    pub fn lifted(&mut self, call: &str) {
        let api = format!("top {call}");
        self.told.retain(|(_, told), _| *told != api);
        self.shared.remove(&api);
    }

    /// Notes a write of a breaker.
    pub fn wrote(&mut self, item: &Value, now: EpochMillis) {
        let api = format!("top {}", item["call"]["S"].as_str().unwrap_or_default());
        let until = item["until"]["N"].as_str().and_then(|until| until.parse().ok()).unwrap_or(0_i64);
        let ends = self.told.iter().filter(|((_, told), _)| *told == api).map(|(_, ends)| *ends);
        let Some(ends) = ends.filter(|ends| until >= ends.0 - SKEW).max() else { return };
        let first = self.shared.get(&api).filter(|(_, ends)| *ends > now).map_or(now, |(first, _)| *first);
        self.shared.insert(api, (first, ends));
    }

    /// Judges a request that an instance sends. Returns what is wrong with it.
    pub fn sent(&self, instance: u64, api: &str, now: EpochMillis) -> Option<String> {
        let own = self.told.get(&(instance, api.to_owned())).is_some_and(|ends| *ends > now);
        let shared = self
            .shared
            .get(api)
            .is_some_and(|(written, ends)| written.plus(SHARED_WITHIN) < now && now.0 < ends.0 - SKEW);
        match (own, shared) {
            (true, _) => Some(format!("{api} was sent during a ban: instance {instance}")),
            (false, true) => {
                Some(format!("{api} was sent during a ban that another instance wrote: instance {instance}"))
            }
            (false, false) => None,
        }
    }

    /// Judges an instance at the end of an invocation: it must have written every ban that TOP told it of. Returns the
    /// problem, if there is one.
    pub fn ended(&self, instance: u64, now: EpochMillis) -> Option<String> {
        if self.excused.contains(&instance) {
            return None;
        }
        let mut told = self.told.iter().filter(|((told, _), ends)| *told == instance && ends.0 - SKEW > now.0);
        let unshared = |api: &str| self.shared.get(api).is_none_or(|(_, ends)| *ends <= now);
        let ((_, api), _) = told.find(|((_, api), _)| unshared(api))?;
        Some(format!("instance {instance} kept a ban of {api} for itself"))
    }
}
