//! Formats errors with their causes.

use std::error::Error;

/// The messages of an error and its causes, outermost first.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    sources(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An error and its causes, outermost first.
pub fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_names_the_error_and_its_causes() {
        let inner = std::io::Error::other("connection refused");
        let outer = std::io::Error::other(Box::new(inner) as Box<dyn Error + Send + Sync>);
        assert_eq!(chain(&outer), "connection refused");
        let parsed = "x".parse::<i64>().unwrap_err();
        assert_eq!(chain(&parsed), "invalid digit found in string");
        assert_eq!(sources(&parsed).count(), 1);
    }
}
