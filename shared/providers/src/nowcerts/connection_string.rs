//! The connection string as NowCerts gives it: `host=HOST:5672;virtualHost=/;username=...;password=...`, the form of EasyNetQ.

use crate::amqp::Password;

/// The port of AMQP, and of AMQP over TLS (IANA).
const PORT: u16 = 5672;
const PORT_WITH_TLS: u16 = 5671;

/// The parts of a connection string.
#[derive(Debug, Default)]
pub(super) struct ConnectionString {
    /// The host and its port, where one is given.
    pub(super) host: Option<(String, Option<u16>)>,
    pub(super) virtual_host: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Password>,
}

impl ConnectionString {
    /// Reads the text: parts are split on `;`, and each on its first `=`. Keys are case-insensitive, unknown ones are ignored.
    /// Mistakes are added to `problems`; no value is repeated.
    pub(super) fn read(text: &str, problems: &mut Vec<String>) -> Self {
        let mut found = Self::default();
        let mut seen = Vec::new();
        for (part, position) in text.trim().split(';').zip(1..) {
            if part.trim().is_empty() {
                continue;
            }
            let Some((key, value)) = part.split_once('=') else {
                problems.push(format!(
                    "part {position} of connection_string has no \"=\"; if the password holds a \";\", give the password on \
                     its own as \"password\""
                ));
                continue;
            };
            let key = key.trim().to_ascii_lowercase();
            let known = ["host", "virtualhost", "username", "password"].into_iter().find(|known| *known == key);
            let Some(key) = known else { continue };
            if seen.contains(&key) {
                problems.push(format!("connection_string has {key} more than once; leave one"));
                continue;
            }
            seen.push(key);
            match key {
                "host" => found.host = host(value.trim(), problems),
                "virtualhost" => found.virtual_host = Some(value.trim().to_owned()),
                "username" => found.username = given("username", value.trim(), problems),
                _ => found.password = given("password", value, problems).map(Password::new),
            }
        }
        for (key, meaning) in [("host", "the broker and its port, such as HOST:5672"), ("username", "the login's name")]
        {
            if !seen.contains(&key) {
                problems.push(format!("connection_string has no {key}; it is {meaning}"));
            }
        }
        found
    }

    /// The port, if none is given.
    pub(super) const fn default_port(tls: bool) -> u16 {
        if tls { PORT_WITH_TLS } else { PORT }
    }
}

/// `HOST`, `HOST:PORT` or `[IPv6]:PORT`.
fn host(text: &str, problems: &mut Vec<String>) -> Option<(String, Option<u16>)> {
    if text.contains(',') {
        problems.push("host in connection_string names several brokers; give one".to_owned());
        return None;
    }
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, rest.strip_prefix(':').or(Some(rest))),
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    if name.is_empty() || name.contains(|character: char| character.is_whitespace() || "/@{}".contains(character)) {
        problems.push("host in connection_string is not a host name or address; write HOST:5672".to_owned());
        return None;
    }
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => {
            problems.push("the port in connection_string is not a number from 1 to 65535".to_owned());
            return None;
        }
    };
    Some((name.to_owned(), port))
}

/// A value that is set and not a placeholder such as `{your_username}`.
pub(super) fn given(name: &str, value: &str, problems: &mut Vec<String>) -> Option<String> {
    let problem = if value.trim().is_empty() {
        "is empty"
    } else if value.starts_with('{') && value.ends_with('}') {
        "is still the placeholder of NowCerts' page; put in what they gave you"
    } else if value.trim().len() != value.len() {
        "begins or ends with white space, probably a copy-and-paste slip; store it again without"
    } else {
        return Some(value.to_owned());
    };
    problems.push(format!("the {name} {problem}"));
    None
}
