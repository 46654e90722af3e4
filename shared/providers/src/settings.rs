//! Settings from environment variables: read once, checked whole, every problem reported together. An empty variable is one
//! that is not set.

use std::fmt;
use std::str::FromStr;

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblems(Vec<String>);

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used: {}", self.0.join("; "))
    }
}

/// Reads settings, and collects what is wrong with them.
pub struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("problems", &self.problems).finish_non_exhaustive()
    }
}

impl<'a> Reader<'a> {
    /// Reads variables by this function.
    #[must_use]
    pub const fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { variable, problems: Vec::new() }
    }

    /// The text of a variable, without white space around it.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The parts of a variable between commas, without empty ones.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// The text of a variable that must be set; `meaning` says what it is, as a noun phrase.
    pub fn required(&mut self, name: &str, meaning: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.add_problem(format!("{name} is not set; it is {meaning}"));
            String::new()
        })
    }

    /// The value that a variable's text means; `expected` says what it should be, as a noun phrase.
    pub fn parsed<T>(&mut self, name: &str, default: T, expected: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        let Some(text) = self.optional(name) else {
            return default;
        };
        parse(&text).unwrap_or_else(|| {
            self.add_problem(format!("{name} is {text:?} and should be {expected}"));
            default
        })
    }

    /// A number within a range.
    pub fn number<N: FromStr + PartialOrd + fmt::Display>(
        &mut self,
        name: &str,
        default: N,
        range: std::ops::RangeInclusive<N>,
    ) -> N {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, default, &expected, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    /// How many problems were noted so far.
    #[must_use]
    pub const fn problem_count(&self) -> usize {
        self.problems.len()
    }

    /// Notes a problem.
    pub fn add_problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// What is wrong with the settings, if anything is.
    #[must_use]
    pub fn problems(self) -> Option<ConfigProblems> {
        (!self.problems.is_empty()).then_some(ConfigProblems(self.problems))
    }

    /// The settings that were read, if nothing is wrong with them. There are none only where a problem was noted.
    ///
    /// # Errors
    /// Every problem that was noted.
    pub fn finish<T>(self, config: impl Into<Option<T>>) -> Result<T, ConfigProblems> {
        match config.into() {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigProblems(self.problems)),
        }
    }
}
