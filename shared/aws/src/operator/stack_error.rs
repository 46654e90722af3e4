//! Why a stack can't be asked, and what to do about it.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use intake_pipeline::port_error::PortError;

use crate::port_error::port_error;

/// Why a stack can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No region is known.
    #[error("no region is known; give --region, set AWS_REGION, or set a region in your AWS profile")]
    NoRegion,
    /// There are no credentials.
    #[error(
        "no aws credentials were found; set AWS_PROFILE to a profile that has some and sign in (`aws sso login`), or set \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoCredentials,
    /// The credentials can't be had.
    #[error(
        "your aws credentials cannot be loaded: {message}; if they are those of IAM Identity Center, sign in again with \
         `aws sso login`, and check AWS_PROFILE"
    )]
    Credentials {
        /// Why.
        message: String,
    },
    /// The session of the credentials has ended.
    #[error("the session of your aws credentials has expired; sign in again (`aws sso login`), or get new ones")]
    Expired,
    /// The service does not accept the credentials.
    #[error(
        "aws does not accept your credentials in {region} ({message}); check the access key and its secret, this machine's clock, \
         and whether the account uses this region"
    )]
    NotAccepted {
        /// The region.
        region: String,
        /// The service's code and message.
        message: String,
    },
    /// The credentials don't permit it.
    #[error(
        "{0}; your credentials lack a permission: docs/operator-permissions.md has the policy that each command needs"
    )]
    Denied(PortError),
    /// The service can't be reached.
    #[error("{error}; is {region} the name of a region, and is there a connection to it?")]
    Unreachable {
        /// The region.
        region: String,
        /// How the call failed.
        error: PortError,
    },
    /// There is no such stack.
    #[error("there is no stack {name} in {region}; check its name, --region, and the account of your credentials")]
    NoStack {
        /// The stack's name.
        name: String,
        /// The region.
        region: String,
    },
    /// Nothing of the stack is there.
    #[error("the stack {name} is not deployed ({status}): {hint}")]
    NotDeployed {
        /// The stack's name.
        name: String,
        /// Its state, in CloudFormation's words.
        status: String,
        /// What to do.
        hint: &'static str,
    },
    /// The stack lacks a resource.
    #[error(
        "the stack {name} ({status}) has no {logical_id}; it may be another kind of stack, or the part that has it is disabled \
         or being deleted"
    )]
    NoResource {
        /// The stack's name.
        name: String,
        /// Its state, in CloudFormation's words.
        status: String,
        /// The resource's logical id in the template.
        logical_id: String,
    },
    /// A service failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl StackError {
    /// A failed call to CloudFormation, the first of every command.
    pub(super) fn of<E>(operation: &'static str, error: &SdkError<E>, name: &str, region: &str) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if let Some(credentials) = credentials_error(error) {
            return match credentials {
                CredentialsError::CredentialsNotLoaded(_) => Self::NoCredentials,
                other => Self::Credentials { message: last_cause(other) },
            };
        }
        let failed = port_error(operation, error);
        if matches!(error, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)) {
            return Self::Unreachable { region: region.to_owned(), error: failed };
        }
        match error.code() {
            Some("ValidationError") if error.message().is_some_and(|message| message.contains("does not exist")) => {
                Self::NoStack { name: name.to_owned(), region: region.to_owned() }
            }
            Some("ExpiredToken" | "ExpiredTokenException") => Self::Expired,
            Some(
                "InvalidClientTokenId"
                | "UnrecognizedClientException"
                | "SignatureDoesNotMatch"
                | "InvalidSignatureException"
                | "RequestExpired"
                | "RequestTimeTooSkewed"
                | "OptInRequired"
                | "AuthFailure",
            ) => Self::NotAccepted { region: region.to_owned(), message: failed.message },
            Some("AccessDenied" | "AccessDeniedException") => Self::Denied(failed),
            _ => Self::Port(failed),
        }
    }
}

/// The failure of the credentials among an error's causes.
fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// The cause of all causes, which says the most.
fn last_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

/// An error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (**error).source())
}
