use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_sdk_cloudformation::config::{ProvideCredentials, SharedCredentialsProvider};

use super::*;
use crate::test_service::{Reply, TestService};

fn failure(code: &str, message: &str) -> Reply {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    Reply::Answer { status: 400, body }
}

fn stack_of_status(status: &str) -> Reply {
    let body = format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>hooks</StackName>\
         <StackStatus>{status}</StackStatus><CreationTime>2026-11-21T10:30:00Z</CreationTime></member></Stacks>\
         </DescribeStacksResult></DescribeStacksResponse>"
    );
    Reply::Answer { status: 200, body }
}

fn resources(names: &[&str]) -> Reply {
    let member = |name: &&str| {
        format!(
            "<member><LogicalResourceId>{name}</LogicalResourceId><PhysicalResourceId>hooks-{name}</PhysicalResourceId>\
             <ResourceType>AWS::DynamoDB::Table</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
             <LastUpdatedTimestamp>2026-11-21T10:30:00Z</LastUpdatedTimestamp></member>"
        )
    };
    let body = format!(
        "<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries>{}</StackResourceSummaries>\
         </ListStackResourcesResult></ListStackResourcesResponse>",
        names.iter().map(member).collect::<String>()
    );
    Reply::Answer { status: 200, body }
}

async fn error_of(replies: &[Reply]) -> String {
    let service = TestService::replying(replies);
    Stack::read(service.config(), "hooks").await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_failure_says_what_to_do() {
    for (code, message, expected) in [
        (
            "ValidationError",
            "Stack with id hooks does not exist",
            "there is no stack hooks in eu-west-1; check its name, --region, and the account of your credentials",
        ),
        (
            "ExpiredToken",
            "The security token included in the request is expired",
            "the session of your aws credentials has expired; sign in again (`aws sso login`), or get new ones",
        ),
        (
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            "aws does not accept your credentials in eu-west-1 (InvalidClientTokenId: The security token included in the \
             request is invalid. (HTTP status 400)); check the access key and its secret, this machine's clock, and whether \
             the account uses this region",
        ),
        (
            "AccessDenied",
            "User: arn:aws:iam::1:user/u is not authorized to perform: cloudformation:DescribeStacks on resource: x",
            "cloudformation DescribeStacks failed: AccessDenied: User: arn:aws:iam::1:user/u is not authorized to perform: \
             cloudformation:DescribeStacks on resource: x (HTTP status 400); your credentials lack a permission: \
             docs/operator-permissions.md has the policy that each command needs",
        ),
        ("Other", "something", "cloudformation DescribeStacks failed: Other: something (HTTP status 400)"),
    ] {
        assert_eq!(error_of(&[failure(code, message)]).await, expected);
    }
}

#[tokio::test]
async fn a_permission_that_only_the_second_call_lacks_is_named_too() {
    let denied = failure("AccessDenied", "not authorized to perform: cloudformation:ListStackResources");
    let error = error_of(&[stack_of_status("UPDATE_COMPLETE"), denied]).await;
    assert!(error.contains("cloudformation:ListStackResources") && error.contains("operator-permissions"), "{error}");
}

#[tokio::test]
async fn a_stack_of_which_nothing_is_there_is_told_by_its_state() {
    for (status, expected) in [
        ("ROLLBACK_COMPLETE", "its first deployment failed"),
        ("REVIEW_IN_PROGRESS", "its change set was never executed; deploy it"),
        ("CREATE_IN_PROGRESS", "it is being deployed; try again when it is"),
        ("DELETE_COMPLETE", "it was deleted; its tables and its bucket are kept"),
    ] {
        let error = error_of(&[stack_of_status(status)]).await;
        assert!(error.starts_with(&format!("the stack hooks is not deployed ({status}): {expected}")), "{error}");
    }
}

#[tokio::test]
async fn a_missing_resource_is_named_with_the_state_of_the_stack() {
    for status in ["UPDATE_ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS"] {
        let service = TestService::replying(&[stack_of_status(status), resources(&["EventsTable"])]);
        let stack = Stack::read(service.config(), "hooks").await.unwrap();
        assert_eq!(stack.resource("EventsTable").unwrap(), "hooks-EventsTable");
        let error = stack.resource("Bucket").unwrap_err().to_string();
        assert!(error.starts_with(&format!("the stack hooks ({status}) has no Bucket; ")), "{error}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unreachable() {
    let config = TestService::replying(&[stack_of_status("CREATE_COMPLETE")]).config();
    let config = config.to_builder().endpoint_url("http://127.0.0.1:9").build();
    let error = Stack::read(config, "hooks").await.unwrap_err().to_string();
    assert!(error.contains("is eu-west-1 the name of a region"), "{error}");
}

#[derive(Debug)]
struct Failing(fn() -> CredentialsError);

impl ProvideCredentials for Failing {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::ready(Err(self.0()))
    }
}

#[tokio::test]
async fn credentials_that_are_missing_or_cannot_be_loaded_are_told_apart() {
    let service = TestService::replying(&[stack_of_status("CREATE_COMPLETE")]);
    let error = async |failure: fn() -> CredentialsError| {
        let provider = SharedCredentialsProvider::new(Failing(failure));
        let config = service.config().to_builder().credentials_provider(provider).build();
        Stack::read(config, "hooks").await.unwrap_err().to_string()
    };
    let missing = error(|| CredentialsError::not_loaded("no credentials found in chain")).await;
    assert!(missing.starts_with("no aws credentials were found; set AWS_PROFILE"), "{missing}");
    let expired = error(|| CredentialsError::provider_error("the SSO token has expired and cannot be refreshed")).await;
    assert!(
        expired.starts_with(
            "your aws credentials cannot be loaded: the SSO token has expired and cannot be refreshed; if"
        ),
        "{expired}"
    );
}
