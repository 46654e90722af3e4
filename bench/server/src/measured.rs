//! What is measured of the answers.

use std::time::Duration;

use serde_json::{Value, json};

/// Width of a class of times, in microseconds.
const CLASS_MICROSECONDS: u128 = 50;

/// Number of classes: up to 10 s.
const CLASSES: usize = 200_000;

/// Times until answers, in classes, so that a long run takes no more memory than a short one.
pub(crate) struct Measured {
    classes: Vec<u64>,
    answers: u64,
    longest: Duration,
}

impl Default for Measured {
    fn default() -> Self {
        Self { classes: vec![0; CLASSES], answers: 0, longest: Duration::ZERO }
    }
}

impl Measured {
    /// Adds an answer that took this long.
    pub(crate) fn add(&mut self, took: Duration) {
        let class = usize::try_from(took.as_micros() / CLASS_MICROSECONDS).unwrap_or(CLASSES).min(CLASSES - 1);
        if let Some(count) = self.classes.get_mut(class) {
            *count += 1;
        }
        self.answers += 1;
        self.longest = self.longest.max(took);
    }

    /// The time within which this part of all answers came, in milliseconds.
    fn quantile(&self, part: f64) -> f64 {
        let mut seen = 0;
        let class = self.classes.iter().position(|count| {
            seen += count;
            seen as f64 >= part * self.answers as f64
        });
        (class.unwrap_or(CLASSES) + 1) as f64 * CLASS_MICROSECONDS as f64 / 1000.0
    }

    /// The figures.
    pub(crate) fn report(&self, took: Duration) -> Value {
        json!({
            "answers": self.answers,
            "seconds": took.as_secs_f64(),
            "per_second": (self.answers as f64 / took.as_secs_f64()).round(),
            "p50_milliseconds": self.quantile(0.5),
            "p99_milliseconds": self.quantile(0.99),
            "p999_milliseconds": self.quantile(0.999),
            "longest_milliseconds": self.longest.as_secs_f64() * 1000.0,
        })
    }
}
