"""What template.yaml promises, and that the deployed test stack is that template."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from bill import PARAMETERS, ROUTES
from botocore.exceptions import ClientError
from nurturecloud_api import NurtureCloudApi
from signers import MachnetSigner, machnet_event
from stack import template
from stack.stack import STACK_NAME, Stack
from template_check.alarms import RAISED_BY_STRANGERS


@pytest.fixture(scope="module")
def translated() -> template.Template:
    return template.translate(template.original())


def differing_paths(one: Any, other: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            found
            for name in one.keys() | other.keys()
            for found in differing_paths(one.get(name), other.get(name), (*path, str(name)))
        }
    return set() if one == other else {path}


def resources(translated: template.Template, kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"] for name, resource in translated["Resources"].items() if resource["Type"] == kind
    }


def test_the_deployed_template_differs_only_in_code_build_versions_and_metric_math(tmp_path: Path) -> None:
    original = template.original()
    functions = template.binaries(original)
    derived = template.derive({name: tmp_path / name for name in functions})

    allowed = {("Globals", "Function", name) for name in ["CodeUri", "AutoPublishAlias"]}
    allowed.add(("Globals", "Function", "Environment", "Variables", "SSL_CERT_FILE"))
    for name, function in original["Resources"].items():
        if name in functions:
            allowed |= {("Resources", name, "Metadata"), ("Resources", name, "Properties", "CodeUri")}
            versions = function["Properties"].keys() & {"AutoPublishCodeSha256", "DeploymentPreference"}
            allowed |= {("Resources", name, "Properties", part) for part in versions}
    allowed |= {("Resources", name) for name in template.metric_math_alarms(original)}
    assert differing_paths(original, derived) == allowed


def test_the_translated_templates_have_the_same_resources_but_for_versions_and_metric_math(
    translated: template.Template, tmp_path: Path
) -> None:
    original = template.original()
    derived = template.translate(template.derive({name: tmp_path / name for name in template.binaries(original)}))

    versions = {
        name
        for name, resource in translated["Resources"].items()
        if resource["Type"] in {"AWS::Lambda::Version", "AWS::Lambda::Alias"}
    }
    assert len(versions) == 2 * len(template.binaries(original))
    left_out = versions | set(template.metric_math_alarms(original))
    assert translated["Resources"].keys() - derived["Resources"].keys() == left_out
    assert derived["Resources"].keys() <= translated["Resources"].keys()


def test_the_deployed_parameters_are_the_defaults_but_for_the_host_and_the_resync(
    stack: Stack, translated: template.Template, nurturecloud_api: NurtureCloudApi
) -> None:
    [deployed] = stack.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in deployed["Parameters"]}
    defaults = {name: str(parameter["Default"]) for name, parameter in translated["Parameters"].items()}

    changed = {name: value for name, value in parameters.items() if value != defaults[name]}
    host = {} if template.ARCHITECTURE == defaults["Architecture"] else {"Architecture": template.ARCHITECTURE}
    assert parameters.keys() == defaults.keys()
    assert changed == host | nurturecloud_api.parameters


def test_the_deployed_routes_are_those_of_the_template(stack: Stack, translated: template.Template) -> None:
    deployed = stack.client("apigatewayv2").get_routes(ApiId=stack.api_id)["Items"]

    assert {route["RouteKey"] for route in deployed} == set(template.routes(translated))
    assert set(template.routes(translated)) == {f"POST {path}" for path in [*ROUTES.values(), "/oauth/token"]}
    assert {"/webhooks/machnet", "/webhooks/nurturecloud/{secret}"} <= set(ROUTES.values())


def test_a_path_without_a_route_reaches_no_function(stack: Stack) -> None:
    before = len(stack.deliveries("machnet"))

    assert stack.post("machnet", b"{}", {}, path="/webhooks/other").status == 404
    assert len(stack.deliveries("machnet")) == before


def granted(translated: template.Template, role: str) -> dict[str, Any]:
    """The resource of each statement that allows one action, whatever the parameters are."""
    [policy] = resources(translated, "AWS::IAM::Role")[role]["Policies"]
    return {
        statement["Action"]: statement["Resource"]
        for statement in policy["PolicyDocument"]["Statement"]
        if isinstance(statement.get("Action"), str)
    }


def test_the_resync_reads_its_own_secret_and_keeps_its_progress_only(translated: template.Template) -> None:
    [policy] = resources(translated, "AWS::IAM::Role")["NurtureCloudResyncRole"]["Policies"]

    assert granted(translated, "NurtureCloudResyncRole") == {
        "secretsmanager:GetSecretValue": {"Fn::GetAtt": ["NurtureCloudResyncSecret", "Id"]}
    }
    [table] = [each for each in policy["PolicyDocument"]["Statement"] if "dynamodb:" in json.dumps(each["Action"])]
    assert table == {
        "Effect": "Allow",
        "Action": ["dynamodb:GetItem", "dynamodb:PutItem"],
        "Resource": {"Fn::GetAtt": ["EntitiesTable", "Arn"]},
        # The emulator does not know this key.
        "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["resync#nurturecloud"]}},
    }


def test_the_tables_can_be_restored_and_followed(translated: template.Template) -> None:
    tables = resources(translated, "AWS::DynamoDB::Table")

    assert {name: table["StreamSpecification"]["StreamViewType"] for name, table in tables.items()} == {
        "EventsTable": "NEW_IMAGE",
        "EntitiesTable": "NEW_AND_OLD_IMAGES",
    }
    for table in tables.values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["DeletionProtectionEnabled"] == {"Fn::If": ["ProtectsTables", True, False]}
        assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [("pk", "HASH"), ("sk", "RANGE")]
    assert "TimeToLiveSpecification" not in tables["EntitiesTable"]
    [index] = tables["EntitiesTable"]["GlobalSecondaryIndexes"]
    assert index == {
        "IndexName": "by_business",
        "KeySchema": [
            {"AttributeName": "business_id", "KeyType": "HASH"},
            {"AttributeName": "component_and_id", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["account", "deleted", "organisation", "version"]},
    }


def test_the_processor_accepts_all_organisations_and_businesses_by_default(
    translated: template.Template,
) -> None:
    variables = translated["Resources"]["ProcessorFunction"]["Properties"]["Environment"]["Variables"]

    for variable, parameter in [
        ("NURTURECLOUD_ORGANISATION", "NurtureCloudOrganisation"),
        ("NURTURECLOUD_BUSINESSES", "NurtureCloudBusinesses"),
    ]:
        assert variables[variable] == {"Ref": parameter}
        assert translated["Parameters"][parameter]["Default"] == ""


# The resync is optional


RESYNC = {
    "NurtureCloudResyncFunction",
    "NurtureCloudResyncFunctionEventInvokeConfig",
    "NurtureCloudResyncFunctionSchedule",
    "NurtureCloudResyncFunctionScheduleRole",
    "NurtureCloudResyncRole",
    "NurtureCloudResyncSecret",
    "NurtureCloudResyncFailedAlarm",
    "NurtureCloudResyncNotCompletedAlarm",
}


def mentions(part: Any) -> set[str]:
    """Every text in a part of the template, names in `Fn::Sub` included."""
    if isinstance(part, dict):
        return {found for key, value in part.items() for found in {key} | mentions(value)}
    if isinstance(part, list):
        return {found for value in part for found in mentions(value)}
    return set(re.findall(r"\w+", part)) if isinstance(part, str) else set()


def test_without_a_base_url_there_is_no_resync(translated: template.Template) -> None:
    has_base_url = {"Fn::Not": [{"Fn::Equals": [{"Ref": "NurtureCloudBaseUrl"}, ""]}]}
    assert translated["Conditions"]["HasResync"] == {"Fn::And": [{"Condition": "HasNurtureCloud"}, has_base_url]}
    assert translated["Parameters"]["NurtureCloudBaseUrl"]["Default"] == ""
    on_condition = {
        name
        for kind in ["Resources", "Outputs"]
        for name, part in translated[kind].items()
        if part.get("Condition") == "HasResync"
    }

    versions = {name for name in on_condition if re.fullmatch("NurtureCloudResyncFunction(Version.*|Alias.*)", name)}
    assert on_condition == RESYNC | versions | {"NurtureCloudResyncFunctionName", "NurtureCloudResyncSecretArn"}
    others = {name: part for kind in ["Resources", "Outputs"] for name, part in translated[kind].items()}
    for name in others.keys() - on_condition:
        assert not mentions(others[name]) & RESYNC, name


def test_with_a_base_url_there_is_one(stack: Stack) -> None:
    assert stack.resources.keys() >= RESYNC - set(template.metric_math_alarms(template.original()))


def test_a_base_url_needs_businesses(stack: Stack, translated: template.Template) -> None:
    client, name = stack.client("cloudformation"), f"planned-{uuid.uuid4()}"
    stack.client("s3").put_object(Bucket="artifacts", Key=name, Body=json.dumps(translated).encode())

    def plan(**parameters: str) -> None:
        client.create_change_set(
            StackName=name,
            ChangeSetName=name,
            ChangeSetType="CREATE",
            TemplateURL=f"{stack.url}/artifacts/{name}",
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )

    base_url = {"NurtureCloudBaseUrl": "https://nurturecloud.example/v1"}
    with pytest.raises(ClientError, match="NurtureCloudBaseUrl needs NurtureCloudResyncBusinesses"):
        plan(**base_url)
    plan(**base_url, NurtureCloudResyncBusinesses="1")
    client.delete_stack(StackName=name)


def test_the_resync_s_settings_are_the_stack_s_parameters(translated: template.Template) -> None:
    function = translated["Resources"]["NurtureCloudResyncFunction"]["Properties"]
    variables, parameters = function["Environment"]["Variables"], translated["Parameters"]

    for variable, parameter, default in [
        ("NURTURECLOUD_BASE_URL", "NurtureCloudBaseUrl", ""),
        ("RESYNC_BUSINESSES", "NurtureCloudResyncBusinesses", ""),
        ("RESYNC_COMPONENTS", "NurtureCloudResyncComponents", "agency,agent,appointment,contact"),
        ("RESYNC_CALLS_PER_MINUTE", "NurtureCloudResyncCallsPerMinute", 30),
    ]:
        assert variables[variable] == {"Ref": parameter}
        assert parameters[parameter]["Default"] == default
    pace = parameters["NurtureCloudResyncCallsPerMinute"]
    assert (pace["Type"], pace["MinValue"], pace["MaxValue"]) == ("Number", 1, 6000)
    assert function["Timeout"] == 900, "Lambda's maximum"


def test_a_schedule_invokes_the_resync(stack: Stack, translated: template.Template) -> None:
    name = stack.resources["NurtureCloudResyncFunctionSchedule"]
    schedule = stack.client("scheduler").get_schedule(Name=name)
    function = stack.client("lambda").get_function(FunctionName=stack.function_name("nurturecloud-resync"))
    role = stack.client("iam").get_role(RoleName=stack.resources["NurtureCloudResyncFunctionScheduleRole"])

    assert (schedule["ScheduleExpression"], schedule["State"]) == ("rate(1 day)", "ENABLED")
    assert schedule["Target"]["Arn"] == function["Configuration"]["FunctionArn"]
    assert schedule["Target"]["RoleArn"] == role["Role"]["Arn"]
    assert translated["Parameters"]["NurtureCloudResyncSchedule"]["Default"] == "rate(1 day)"
    assert granted(translated, "NurtureCloudResyncFunctionScheduleRole") == {
        "lambda:InvokeFunction": {"Ref": "NurtureCloudResyncFunctionAliaslive"}
    }


def test_every_function_reads_one_bundle_of_root_certificates(translated: template.Template) -> None:
    for name, function in resources(translated, "AWS::Lambda::Function").items():
        variables = function["Environment"]["Variables"]
        assert (variables["SSL_CERT_FILE"], "SSL_CERT_DIR" in variables) == ("/etc/pki/tls/certs/ca-bundle.crt", False), name
        # Where Amazon Linux has it.
        assert function["Runtime"] == "provided.al2023", name


def test_only_the_token_endpoint_reads_the_private_keys(translated: template.Template) -> None:
    readers = {
        role: resource
        for role in resources(translated, "AWS::IAM::Role")
        if (resource := granted(translated, role).get("secretsmanager:GetSecretValue"))
    }

    authority = {"Fn::GetAtt": ["SterlingAuthoritySecret", "Id"]}
    assert [role for role, resource in readers.items() if resource == authority] == ["SterlingTokenRole"]
    assert len(readers) == len({json.dumps(resource) for resource in readers.values()}), "one reader for each secret"
    for name, function in resources(translated, "AWS::Lambda::Function").items():
        role = function["Role"]["Fn::GetAtt"][0]
        assert function["Environment"]["Variables"].get("SECRET_ID") == readers.get(role), name


def test_every_function_runs_under_a_role_of_the_template(translated: template.Template) -> None:
    for name, function in resources(translated, "AWS::Lambda::Function").items():
        assert function["Role"] == {"Fn::GetAtt": [name.replace("Function", "Role"), "Arn"]}
        # Off unless asked for: an account with the lowest limit could not deploy a reservation.
        reserved = function.get("ReservedConcurrentExecutions", {"Ref": "AWS::NoValue"})
        assert reserved.get("Fn::If", [None, None, reserved])[2] == {"Ref": "AWS::NoValue"}
    assert translated["Parameters"]["NowCertsReservedConcurrency"]["Default"] == 0


def test_the_drain_runs_once_or_not_at_all(translated: template.Template) -> None:
    schedule = resources(translated, "AWS::Scheduler::Schedule")["NowCertsFunctionSchedule"]
    invocations = resources(translated, "AWS::Lambda::EventInvokeConfig")["NowCertsFunctionEventInvokeConfig"]
    at_once = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}

    assert schedule["Target"]["RetryPolicy"] == at_once
    assert {name: invocations[name] for name in at_once} == at_once
    assert schedule["ScheduleExpression"] == {"Ref": "NowCertsSchedule"}
    assert translated["Parameters"]["NowCertsSchedule"]["Default"] == "rate(1 minute)"
    assert schedule["State"] == {"Ref": "NowCertsScheduleState"}
    assert translated["Parameters"]["NowCertsScheduleState"]["Default"] == "DISABLED"
    assert translated["Resources"]["NowCertsFunction"]["Properties"]["Timeout"] == 60


def test_the_drain_may_write_the_lease_and_no_event(translated: template.Template) -> None:
    [policy] = resources(translated, "AWS::IAM::Role")["NowCertsRole"]["Policies"]
    [lease] = [entry for entry in policy["PolicyDocument"]["Statement"] if "dynamodb:UpdateItem" in entry["Action"]]

    assert lease["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["lease#nowcerts"]}}


def test_a_message_outlives_the_processor_and_ends_in_the_dead_letter_queue(translated: template.Template) -> None:
    queues = resources(translated, "AWS::SQS::Queue")
    processor = translated["Resources"]["ProcessorFunction"]["Properties"]
    day = 24 * 60 * 60

    assert queues["Queue"]["VisibilityTimeout"] == 6 * processor["Timeout"]
    assert queues["Queue"]["MessageRetentionPeriod"] == 4 * day
    assert queues["Queue"]["MaximumMessageSize"] == 1024 * 1024
    # An outage of an hour must not move the queue's deliveries.
    assert queues["Queue"]["RedrivePolicy"]["maxReceiveCount"] * queues["Queue"]["VisibilityTimeout"] == 75 * 60
    assert queues["DeadLetterQueue"]["MessageRetentionPeriod"] == 14 * day
    assert queues["DeadLetterQueue"]["MaximumMessageSize"] == 1024 * 1024


def test_the_processor_leaves_a_new_account_room_for_the_webhooks(translated: template.Template) -> None:
    mapping = translated["Resources"]["ProcessorFunctionDeliveries"]["Properties"]
    concurrency = translated["Parameters"]["ProcessorMaximumConcurrency"]

    assert mapping["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "ProcessorMaximumConcurrency"}}
    # Of the 10 concurrent executions of a new account. SQS takes no less.
    assert concurrency["Default"] == concurrency["MinValue"] == 2


def test_the_stream_outlives_what_the_publisher_gives_up_and_an_outage_of_an_hour(translated: template.Template) -> None:
    mapping = translated["Resources"]["PublisherFunctionNewEvents"]["Properties"]
    function = translated["Resources"]["PublisherFunction"]["Properties"]
    hour = 60 * 60

    assert mapping["EventSourceArn"] == {"Fn::GetAtt": ["EventsTable", "StreamArn"]}
    # An invocation uses up its time while the bus is away.
    assert (mapping["MaximumRetryAttempts"] * function["Timeout"], function["Timeout"]) == (75 * 60, 60)
    # A stream keeps a record for 24 hours.
    assert mapping["MaximumRecordAgeInSeconds"] == 12 * hour
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (mapping["BisectBatchOnFunctionError"], mapping["StartingPosition"]) == (True, "TRIM_HORIZON")
    assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": ["UnpublishedQueue", "Arn"]}}}
    assert resources(translated, "AWS::SQS::Queue")["UnpublishedQueue"]["MessageRetentionPeriod"] == 14 * 24 * hour


def test_the_publisher_puts_events_on_one_bus_and_reads_event_data_only(translated: template.Template) -> None:
    variables = translated["Resources"]["PublisherFunction"]["Properties"]["Environment"]["Variables"]
    bus = {"Fn::If": ["HasOwnBus", {"Ref": "EventBus"}, {"Ref": "EventBusName"}]}
    existing = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${EventBusName}"
    arn = {"Fn::If": ["HasOwnBus", {"Fn::GetAtt": ["EventBus", "Arn"]}, {"Fn::Sub": existing}]}

    assert (variables["EVENT_BUS"], translated["Outputs"]["EventBusName"]["Value"]) == (bus, bus)
    assert translated["Outputs"]["EventBusArn"]["Value"] == arn
    assert granted(translated, "PublisherRole") == {
        "s3:GetObject": {"Fn::Sub": "${Bucket.Arn}/events/*"},
        "events:PutEvents": arn,
        "sqs:SendMessage": {"Fn::GetAtt": ["UnpublishedQueue", "Arn"]},
    }
    assert translated["Conditions"]["HasOwnBus"] == {"Fn::Equals": [{"Ref": "EventBusName"}, ""]}
    assert translated["Resources"]["EventBus"]["Condition"] == "HasOwnBus"


def test_only_bodies_of_deliveries_and_refused_requests_expire(translated: template.Template) -> None:
    [bucket] = resources(translated, "AWS::S3::Bucket").values()
    expiring = {
        rule["Prefix"]: rule["ExpirationInDays"]
        for rule in bucket["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }

    retention = {"Ref": "DeliveryRetentionDays"}
    bodies = {"Fn::If": ["KeepsDeliveries", retention, 1]}
    assert expiring == {"deliveries/": 60, "delivery-bodies/": bodies, "refused/": 7}


def test_refused_requests_are_kept_only_if_asked_for_and_no_old_version_stays(translated: template.Template) -> None:
    [bucket] = resources(translated, "AWS::S3::Bucket").values()
    [rule] = [each for each in bucket["LifecycleConfiguration"]["Rules"] if each.get("Prefix") == "refused/"]

    assert translated["Parameters"]["KeepRefused"]["Default"] == 0
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_no_throttle_unless_asked_for_and_no_metrics_by_path(translated: template.Template) -> None:
    [stage] = resources(translated, "AWS::ApiGatewayV2::Stage").values()

    throttle, otherwise = stage["DefaultRouteSettings"]["Fn::If"][1:]
    assert (stage["DefaultRouteSettings"]["Fn::If"][0], otherwise) == ("HasThrottle", {"Ref": "AWS::NoValue"})
    # Detailed metrics would be named after paths.
    assert throttle.keys() == {"ThrottlingRateLimit", "ThrottlingBurstLimit"}
    assert translated["Parameters"]["ThrottleRequestsPerSecond"]["Default"] == 0


def test_the_urls_that_are_shown_hold_no_secret(translated: template.Template, stack: Stack) -> None:
    url, hosts = translated["Outputs"]["NurtureCloudWebhookUrl"]["Value"]["Fn::Sub"]

    assert url == "https://${Host}/webhooks/nurturecloud/<secret>"
    assert hosts["Host"]["Fn::If"][:2] == ["HasDomain", {"Ref": "DomainName"}]
    assert stack.outputs["NurtureCloudWebhookUrl"].endswith("/webhooks/nurturecloud/<secret>")


def test_an_alarm_that_a_stranger_can_raise_has_a_threshold_among_the_parameters(translated: template.Template) -> None:
    alarms = resources(translated, "AWS::CloudWatch::Alarm")

    assert len(alarms) > 3 * len(ROUTES)
    for name, alarm in alarms.items():
        assert isinstance(alarm["Threshold"], dict) == bool(RAISED_BY_STRANGERS.search(name)), name
        assert ("OKActions" in alarm) != bool(RAISED_BY_STRANGERS.search(name)), name


# Versions


def versions(translated: template.Template) -> set[str]:
    return {name for name, each in translated["Resources"].items() if each["Type"] == "AWS::Lambda::Version"}


def test_another_release_is_another_version_of_every_function_and_a_parameter_alone_is_not() -> None:
    original = template.original()
    first = versions(template.translate(original, {"Release": "0123456789abcdef"}))

    assert len(first) == len(template.binaries(original))
    assert not first & versions(template.translate(original, {"Release": "fedcba9876543210"}))
    # Why there is a `Release` at all.
    without = versions(template.translate(original))
    assert without == versions(template.translate(original, {"SecretRefreshSeconds": "60"}))


def test_a_gradual_deployment_is_rolled_back_by_alarms_about_faults(translated: template.Template) -> None:
    gradual = template.translate(template.original(), {"GradualDeployment": "true"})
    alarms = {
        name.removesuffix("DeploymentGroup"): [each["Name"]["Ref"] for each in group["AlarmConfiguration"]["Alarms"]]
        for name, group in resources(gradual, "AWS::CodeDeploy::DeploymentGroup").items()
    }

    assert resources(translated, "AWS::CodeDeploy::DeploymentGroup") == {}
    answering = set(template.routes(translated).values())
    assert alarms == {
        name: [f"{name.removesuffix('Function')}FaultsAlarm", "UnansweredRequestsAlarm"] for name in answering
    } | {
        "ProcessorFunction": ["ProcessorErrorsAlarm", "RecordsFailedAlarm", "QuarantineAlarm"],
        "PublisherFunction": ["PublisherErrorsAlarm", "UnpublishedAlarm"],
    }


# Only the providers that one has


@pytest.mark.parametrize("enabled", [["Machnet"], ["NowCerts"]], ids=str)
def test_a_stack_has_nothing_of_a_provider_that_is_disabled(
    tmp_path: Path, enabled: list[str], translated: template.Template
) -> None:
    stack = Stack(tmp_path, {name: "disabled" for name in PARAMETERS.values() if name not in enabled})
    try:
        disabled = tuple(name for name in PARAMETERS.values() if name not in enabled)
        assert [name for name in [*stack.resources, *stack.outputs] if name.startswith(disabled)] == []
        without_alarms = {
            name
            for name, resource in translated["Resources"].items()
            if name.startswith(tuple(enabled))
            and resource["Type"] not in {"AWS::CloudWatch::Alarm", "AWS::Lambda::Version", "AWS::Lambda::Alias"}
        }
        assert without_alarms <= stack.resources.keys()
        assert ("Api" in stack.resources) == (enabled != ["NowCerts"])
        if enabled == ["Machnet"]:
            signer = MachnetSigner("the secret of Machnet's stack")
            stack.put_keys("machnet", signer.key())
            body = machnet_event(str(uuid.uuid4()), str(uuid.uuid4()))
            answer = stack.post("machnet", body, signer.headers(body))
            assert answer.status == 200
            [record] = stack.wait_for_record(json.loads(answer.body)["delivery_id"])
            assert record["outcomes"] == "0=stored"
    finally:
        stack.close()
