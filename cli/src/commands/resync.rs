//! `resync`: NurtureCloud is asked to send everything again.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use intake_outbound::HttpSyncApi;
use intake_pipeline::clock::SystemClock;
use intake_pipeline::config::{MAX_CALLS_PER_MINUTE, MAX_LOOKBACK_DAYS};
use intake_pipeline::resync::{Answered, Next, Reason, Resync, ResyncSettings, RunOutcome, RunReport};
use intake_pipeline::secrets::SecretText;
use intake_providers::account::AccountName;
use intake_providers::date::Date;
use intake_providers::nurturecloud::component::ComponentName;
use intake_providers::nurturecloud::resync::{BaseUrl, BusinessId, Credentials, EntityId, ResyncPlan};

use super::error::CommandError;
use super::output::print;
use intake_simulator::TEST_ACCOUNT;
use intake_sqlite::DataDirectory;
use intake_sqlite::ResumeFile;

pub(super) mod resync_error;

use resync_error::{CLIENT_SECRET_VARIABLE, ResyncError};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where NurtureCloud's API is, with the path before /business, such as https://HOST/v1.
    #[arg(long, value_name = "URL", env = "NURTURECLOUD_BASE_URL")]
    base_url: String,
    /// The client id that NurtureCloud gave you.
    #[arg(long, value_name = "ID", env = "NURTURECLOUD_CLIENT_ID")]
    client_id: String,
    /// The file with the client secret, on one line. [default: the environment variable NURTURECLOUD_CLIENT_SECRET]
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// The account that the credentials are for, called as its URL is (`keys add nurturecloud --account`). Each has its own progress.
    #[arg(long, value_name = "NAME", default_value = TEST_ACCOUNT)]
    account: AccountName,
    /// A business to ask for; may be given several times.
    #[arg(long = "business", value_name = "ID", required = true, value_delimiter = ',')]
    businesses: Vec<BusinessId>,
    /// A component to ask for, such as contact or agents; may be given several times.
    #[arg(long = "component", value_name = "NAME", required = true, value_delimiter = ',')]
    components: Vec<ComponentName>,
    /// Ask for what has changed since that date, or for more if more is owed. [default: what the progress so far says]
    #[arg(long, value_name = "DATE", conflicts_with = "ids")]
    since: Option<Date>,
    /// An entity to ask for instead of all; may be given several times, with one business and one component.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<EntityId>,
    /// How many calls to make in a minute at most.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = ResyncSettings::default().calls_per_minute.get(),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CALLS_PER_MINUTE))
    )]
    calls_per_minute: u32,
    /// For how many days back to ask the first time.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = ResyncSettings::default().lookback_days,
        value_parser = clap::value_parser!(u16).range(0..=i64::from(MAX_LOOKBACK_DAYS))
    )]
    lookback_days: u16,
    /// Forget the progress so far.
    #[arg(long, conflicts_with = "ids")]
    start_over: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let base_url: BaseUrl = arguments.base_url.parse().map_err(ResyncError::from)?;
    let credentials = Credentials::new(&arguments.client_id, arguments.client_secret()?.reveal().trim());
    let plan = arguments.plan()?;
    let api =
        HttpSyncApi::new(base_url.clone(), &credentials.map_err(ResyncError::from)?).map_err(ResyncError::from)?;
    let resume_file =
        ResumeFile::open(&DataDirectory::create(data_directory)?, &arguments.account).map_err(ResyncError::from)?;
    if arguments.start_over {
        resume_file.remove().map_err(ResyncError::from)?;
    }
    let settings = ResyncSettings {
        calls_per_minute: NonZeroU32::new(arguments.calls_per_minute).unwrap_or(NonZeroU32::MIN),
        lookback_days: arguments.lookback_days,
    };
    let resync = Resync::new(api, resume_file, SystemClock, base_url.service(), settings);
    // A run takes a while, so each answer is shown when it comes. What can't be shown doesn't stop it.
    let report = resync.run(&plan, None, &|answered| drop(print(&line(answered)))).await;
    print(&summary(&report))?;
    Ok(if matches!(report.outcome, RunOutcome::Complete) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    fn client_secret(&self) -> Result<SecretText, CommandError> {
        let Some(path) = &self.client_secret_file else {
            let secret = std::env::var(CLIENT_SECRET_VARIABLE).map_err(|_| ResyncError::NoClientSecret)?;
            return Ok(SecretText::new(secret));
        };
        std::fs::read_to_string(path).map(SecretText::new).map_err(|source| CommandError::Unreadable {
            path: path.clone(),
            option: "client-secret-file",
            source,
        })
    }

    fn plan(&self) -> Result<ResyncPlan, ResyncError> {
        if self.ids.is_empty() {
            return Ok(ResyncPlan::everything(&self.businesses, &self.components, self.since)?);
        }
        match (&self.businesses[..], &self.components[..]) {
            ([business], [component]) => Ok(ResyncPlan::entities(business, component, &self.ids)?),
            _ => Err(ResyncError::IdsOfSeveral),
        }
    }
}

/// What was asked and answered, on one line.
fn line(answered: &Answered<'_>) -> String {
    let call = answered.call;
    let answer = match answered.answer {
        Ok(answer) => answer.status.as_u16().to_string(),
        Err(error) => error.to_string(),
    };
    let verdict = match answered.next {
        Next::Accepted => "accepted".to_owned(),
        Next::NotAccepted { reason, .. } => format!("not accepted ({})", reason.as_str()),
        Next::Again { reason, wait } => format!("again in {} s ({})", wait.as_secs(), reason.as_str()),
        Next::CredentialsWrong => format!("not accepted ({})", Reason::CredentialsWrong.as_str()),
        Next::ToldToWait { .. } => format!("not accepted ({})", Reason::Throttled.as_str()),
    };
    format!("{} {} {}: {answer} {verdict}\n", call.business_id.as_str(), call.component, call.what)
}

/// How it ended, and what to do.
fn summary(report: &RunReport) -> String {
    let (not_accepted, not_asked) = (report.not_accepted.len(), report.not_asked.len());
    let counts = format!("{} accepted, {not_accepted} not accepted, {not_asked} not asked", report.accepted);
    let todo = match (&report.outcome, report.began_at) {
        (RunOutcome::Incomplete, Some(_)) => "; call the command again to ask for the same",
        (RunOutcome::Incomplete, None) => "; call the command again with their ids",
        _ => "",
    };
    format!("{counts}: {}{todo}.\n", report.outcome)
}
