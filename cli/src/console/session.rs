//! Who may use the console: one person, in one browser, who has the token that the terminal showed.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use relay_types::digest::sha256_hex;

/// How long a token of the terminal is valid.
const START_WITHIN: Duration = Duration::from_secs(5 * 60);
/// How long a session lasts without a request of its user.
const IDLE: Duration = Duration::from_secs(8 * 3600);
/// Number of digits of a form token's random part.
const NONCE_DIGITS: usize = 32;

/// The sessions of a console, all in memory: they end with the process.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    starts: HashMap<String, Instant>,
    open: HashMap<String, Session>,
}

#[derive(Debug)]
struct Session {
    last: Instant,
    secret: String,
    used: HashSet<String>,
}

/// Random digits: two for each byte.
pub fn random(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no random numbers: {error}"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Sessions {
    /// A token that starts one session, within five minutes.
    pub fn token(&self) -> Result<String> {
        let token = random(32)?;
        self.with(|inner| inner.starts.insert(token.clone(), Instant::now()));
        Ok(token)
    }

    /// Exchanges a token for a session's id. `None` if it was used, is too old, or never existed.
    pub fn start(&self, token: &str) -> Result<Option<String>> {
        let (id, secret) = (random(32)?, random(32)?);
        Ok(self.with(|inner| {
            inner.starts.retain(|_, at| at.elapsed() < START_WITHIN);
            inner.starts.remove(token)?;
            inner.open.insert(id.clone(), Session { last: Instant::now(), secret, used: HashSet::new() });
            Some(id)
        }))
    }

    /// Whether the session is open. A request of its user keeps it open.
    pub fn is_open(&self, id: &str, by_user: bool) -> bool {
        self.with(|inner| {
            inner.open.retain(|_, session| session.last.elapsed() < IDLE);
            let Some(session) = inner.open.get_mut(id) else { return false };
            if by_user {
                session.last = Instant::now();
            }
            true
        })
    }

    /// A token for the forms of one page.
    pub fn form_token(&self, id: &str) -> Result<String> {
        let nonce = random(NONCE_DIGITS / 2)?;
        Ok(self.with(|inner| inner.open.get(id).map(|session| session.signed(&nonce))).unwrap_or_default())
    }

    /// Accepts a form's token once.
    pub fn take_form_token(&self, id: &str, token: &str) -> bool {
        self.with(|inner| {
            let Some(session) = inner.open.get_mut(id) else { return false };
            let nonce = token.get(..NONCE_DIGITS).unwrap_or_default();
            // A hash, so the time of the comparison tells nothing of the token.
            let is_ours = sha256_hex(session.signed(nonce).as_bytes()) == sha256_hex(token.as_bytes());
            is_ours && session.used.insert(nonce.to_owned())
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Session {
    fn signed(&self, nonce: &str) -> String {
        format!("{nonce}{}", sha256_hex(format!("{} {nonce} {}", self.secret, self.secret).as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_token_is_used_once() {
        let sessions = Sessions::default();
        let token = sessions.token().unwrap();
        assert_eq!(token.len(), 64);
        let id = sessions.start(&token).unwrap().unwrap();
        assert!(sessions.is_open(&id, true));
        assert_eq!(sessions.start(&token).unwrap(), None);
        assert_eq!(sessions.start("").unwrap(), None);
        assert!(!sessions.is_open("other", true));
    }

    #[test]
    fn form_token_is_used_once_and_only_in_its_session() {
        let sessions = Sessions::default();
        let open = || sessions.start(&sessions.token().unwrap()).unwrap().unwrap();
        let (id, other) = (open(), open());
        let token = sessions.form_token(&id).unwrap();
        assert!(!sessions.take_form_token(&other, &token));
        assert!(sessions.take_form_token(&id, &token));
        assert!(!sessions.take_form_token(&id, &token), "a form that is sent twice");
        let nonce = &token[..NONCE_DIGITS];
        assert!(
            !sessions.take_form_token(&id, nonce)
                && !sessions.take_form_token(&id, "")
                && !sessions.take_form_token(&id, "ä")
        );
    }
}
