//! Buckets of the time index in which nothing was found.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What was found empty, each bucket between two places of its order, both included.
#[derive(Clone, Debug, Default)]
pub(super) struct EmptyBuckets(Arc<Mutex<HashMap<String, (String, String)>>>);

impl EmptyBuckets {
    /// Remembers that a bucket has nothing between these places.
    pub(super) fn remember(&self, bucket: &str, within: &(String, String)) {
        // The map is whole after each of its calls, so a panic elsewhere does not spoil it.
        let mut empty = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        empty.insert(bucket.to_owned(), within.clone());
    }

    /// Whether it is known that a bucket has nothing between these places.
    pub(super) fn has(&self, bucket: &str, (first, last): &(String, String)) -> bool {
        let empty = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        empty.get(bucket).is_some_and(|(from, to)| from <= first && last <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_known_to_be_empty_only_where_it_was_looked_at() {
        let within = |first: &str, last: &str| (first.to_owned(), last.to_owned());
        let empty = EmptyBuckets::default();
        empty.remember("a", &within("2", "4"));
        for (bucket, first, last, expected) in [
            ("a", "2", "4", true),
            ("a", "3", "3", true),
            ("a", "1", "4", false),
            ("a", "2", "5", false),
            ("b", "2", "4", false),
        ] {
            assert_eq!(empty.has(bucket, &within(first, last)), expected, "{bucket} {first} {last}");
        }
    }
}
