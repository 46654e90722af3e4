//! Whether this program and what it looks at are of one version.

use std::cmp::Ordering;

use intake_sqlite::Database;
use semver::Version;

use super::check::Check;

/// What the check of a data directory's format is called.
pub const DATA: &str = "data";

/// The version of this program.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Names the version of this program.
#[must_use]
pub fn program() -> Check {
    Check::well("program", format!("version {PROGRAM}"))
}

/// Names the format of a data directory that could be opened, and so was brought up to the format that this program writes.
#[must_use]
pub fn data() -> Check {
    Check::well(DATA, format!("format {}, as this program writes it", Database::FORMAT))
}

/// Judges the version that a stack says it was deployed from.
#[must_use]
pub fn deployed(version: Option<&str>) -> Check {
    compare(PROGRAM, version)
}

/// Judges the version of the server that runs, as the server has written it down.
#[must_use]
pub fn server(version: Option<&str>) -> Check {
    const SUBJECT: &str = "version of the server";
    match version {
        Some(PROGRAM) => Check::well(SUBJECT, format!("{PROGRAM}, as this program")),
        Some(version) => Check::notice(SUBJECT, format!("{version}, and this program is {PROGRAM}"))
            .remedy("stop the server and start it again with this program, so that both read and write the same"),
        None => Check::notice(SUBJECT, "it does not say, so it was started by an earlier release")
            .remedy("stop the server and start it again with this program"),
    }
}

fn compare(program: &str, deployed: Option<&str>) -> Check {
    const SUBJECT: &str = "version of the stack";
    let Some(deployed) = deployed else {
        return Check::notice(SUBJECT, "it does not say, so it was deployed before stacks said it")
            .remedy(format!("deploy it from the release {program}, of which this program is"));
    };
    let order = match (Version::parse(program), Version::parse(deployed)) {
        (Ok(program), Ok(deployed)) => deployed.cmp_precedence(&program),
        _ => {
            return Check::wrong(SUBJECT, format!("it says {deployed}, which is not a version"))
                .remedy("deploy it again from a release");
        }
    };
    match order {
        Ordering::Equal => Check::well(SUBJECT, format!("{deployed}, as this program")),
        Ordering::Less => Check::notice(SUBJECT, format!("{deployed}, which is earlier than this program's {program}"))
            .remedy(format!("deploy it from the release {program}, or use the program of the release {deployed}")),
        Ordering::Greater => Check::wrong(
            SUBJECT,
            format!("{deployed}, which is later than this program's {program}, so the program may not be able to read all of it"),
        )
        .remedy(format!("use the program of the release {deployed}; CHANGELOG.md says what has changed since")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn a_stack_of_another_version_is_named_with_the_release_to_take() {
        for (deployed, verdict, says) in [
            (Some("1.9.0"), Verdict::Well, None),
            (Some("1.10.0"), Verdict::Wrong, Some("use the program of the release 1.10.0")),
            (Some("1.8.3"), Verdict::Notice, Some("deploy it from the release 1.9.0")),
            (Some("latest"), Verdict::Wrong, Some("deploy it again from a release")),
            (None, Verdict::Notice, Some("deploy it from the release 1.9.0")),
        ] {
            let check = compare("1.9.0", deployed);
            assert_eq!(check.verdict, verdict, "{check:?}");
            assert_eq!(check.remedy.is_some(), says.is_some(), "{check:?}");
            assert!(check.remedy.unwrap_or_default().contains(says.unwrap_or_default()));
        }
    }

    #[test]
    fn the_template_names_the_version_of_this_program() {
        let template = include_str!("../../../template.yaml");
        assert!(template.contains(&format!("\n  Version: {{ Value: {PROGRAM}, ")));
    }
}
