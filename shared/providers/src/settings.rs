//! Settings from environment variables: read once, validated together, with all problems reported at once. An empty variable
//! counts as unset.

use std::fmt;
use std::str::FromStr;

/// All problems of the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblems(Vec<String>);

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used: {}", self.0.join("; "))
    }
}

/// Reads settings and collects their problems.
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
    /// Reads variables through the function `variable`.
    #[must_use]
    pub const fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { variable, problems: Vec::new() }
    }

    /// The trimmed text of a variable; `None` if it is unset or empty.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The comma-separated parts of a variable, without empty ones.
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

    /// Number of problems reported so far.
    #[must_use]
    pub const fn problem_count(&self) -> usize {
        self.problems.len()
    }

    /// Reports a problem, in a sentence that names the variable.
    pub fn add_problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// The collected problems, if there are any.
    #[must_use]
    pub fn problems(self) -> Option<ConfigProblems> {
        (!self.problems.is_empty()).then_some(ConfigProblems(self.problems))
    }

    /// Returns the settings if no problem was reported. `config` may be `None` only if one was.
    ///
    /// # Errors
    /// All problems that were reported.
    pub fn finish<T>(self, config: impl Into<Option<T>>) -> Result<T, ConfigProblems> {
        match config.into() {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigProblems(self.problems)),
        }
    }
}
