use proptest::prelude::*;

use super::*;

fn business(text: &str) -> BusinessId {
    text.parse().unwrap()
}

fn component(text: &str) -> ComponentName {
    text.parse().unwrap()
}

fn all(business_id: &str) -> SyncCall {
    SyncCall {
        business_id: business(business_id),
        component: component("contacts"),
        what: What::All { since: "2026-11-21".parse().unwrap() },
    }
}

fn url(call: &SyncCall, base: &str) -> String {
    call.url(&base.parse().unwrap()).to_string()
}

#[test]
fn the_prefix_is_the_base_urls_whether_it_ends_with_a_slash_or_not() {
    for (base, expected) in [
        ("https://api.example.com/v1", "https://api.example.com/v1/business/b1/contact/sync-all?since=2026-11-21"),
        ("https://api.example.com/v1/", "https://api.example.com/v1/business/b1/contact/sync-all?since=2026-11-21"),
        ("https://api.example.com", "https://api.example.com/business/b1/contact/sync-all?since=2026-11-21"),
        ("http://127.0.0.1:9000/a/b", "http://127.0.0.1:9000/a/b/business/b1/contact/sync-all?since=2026-11-21"),
    ] {
        assert_eq!(url(&all("b1"), base), expected);
    }
}

#[test]
fn an_id_stays_inside_its_place_in_the_url() {
    let base = "https://api.example.com/v1";
    assert_eq!(
        url(&all("../a?b#c%2e"), base),
        "https://api.example.com/v1/business/..%2Fa%3Fb%23c%252e/contact/sync-all?since=2026-11-21"
    );
    let by_id = SyncCall { what: What::ById { id: "a&since=b+c/d".parse().unwrap() }, ..all("b1") };
    assert_eq!(url(&by_id, base), "https://api.example.com/v1/business/b1/contact/sync-by-id?id=a%26since%3Db%2Bc%2Fd");
}

proptest! {
    #[test]
    fn any_id_is_read_back_from_its_url(business_id in "[!-~]{1,64}", id in "[!-~]{1,64}") {
        let (Ok(business_id), Ok(id)) = (business_id.parse::<BusinessId>(), id.parse::<EntityId>()) else {
            return Ok(());
        };
        let call = SyncCall { business_id, what: What::ById { id: id.clone() }, ..all("b1") };
        let url = call.url(&"https://api.example.com/v1".parse().unwrap());
        let segments: Vec<&str> = url.path_segments().unwrap().collect();
        prop_assert_eq!(segments.len(), 5);
        prop_assert_eq!(url.fragment(), None);
        let escaped = segments[2].replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
        let (decoded, _) = form_urlencoded::parse(escaped.as_bytes()).next().unwrap();
        prop_assert_eq!(&*decoded, call.business_id.as_str());
        let pairs: Vec<_> = url.query_pairs().collect();
        prop_assert_eq!(pairs, vec![("id".into(), id.as_str().into())]);
    }
}

#[test]
fn what_a_url_would_lose_is_no_id() {
    for text in ["", ".", "..", "a b", "a\n", "\t", "ä", &"a".repeat(65)] {
        assert_eq!(text.parse::<BusinessId>(), Err(InvalidId(text.to_owned())));
        assert_eq!(text.parse::<EntityId>(), Err(InvalidId(text.to_owned())));
    }
    assert!(serde_json::from_str::<BusinessId>(r#"".""#).is_err());
}

#[test]
fn credentials_travel_over_https_or_stay_on_this_machine() {
    for text in
        ["http://localhost:1/v1", "http://127.0.0.1", "http://127.9.9.9", "http://[::1]:80", "https://a.example/v1"]
    {
        assert!(text.parse::<BaseUrl>().is_ok(), "{text}");
    }
    for (text, expected) in [
        ("http://api.example.com/v1", InvalidBaseUrl::NotSecure),
        ("http://localhost.example.com", InvalidBaseUrl::NotSecure),
        ("http://192.0.2.1", InvalidBaseUrl::NotSecure),
        ("ftp://127.0.0.1", InvalidBaseUrl::Malformed),
        ("mailto:nobody@example.com", InvalidBaseUrl::Malformed),
        ("api.example.com/v1", InvalidBaseUrl::Malformed),
        ("https://", InvalidBaseUrl::Malformed),
        ("https://nobody:else@api.example.com/v1", InvalidBaseUrl::MoreThanAPath),
        ("https://nobody@api.example.com/v1", InvalidBaseUrl::MoreThanAPath),
        ("https://:nobody@api.example.com/v1", InvalidBaseUrl::MoreThanAPath),
        ("https://api.example.com/v1?key=nobody", InvalidBaseUrl::MoreThanAPath),
        ("https://api.example.com/v1#nobody", InvalidBaseUrl::MoreThanAPath),
    ] {
        let error = text.parse::<BaseUrl>().unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert!(!error.to_string().contains("nobody"), "{error}");
    }
}

#[test]
fn a_service_is_known_by_host_and_port_whatever_its_path() {
    let service = |text: &str| text.parse::<BaseUrl>().unwrap().service();
    assert_eq!(service("https://api.example.com/v1"), service("https://API.example.com:443/"));
    assert_ne!(service("http://127.0.0.1:9000/v1"), service("http://127.0.0.1:9001/v1"));
}

#[test]
fn a_plan_has_each_component_of_each_business_once() {
    let plan = ResyncPlan::everything(
        &[business("b1"), business("b2"), business("b1")],
        &[component("contacts"), component("agent"), component("Contact")],
        None,
    )
    .unwrap();
    let ResyncPlan::Everything { pairs, since: None } = plan else { panic!("{plan:?}") };
    let pairs: Vec<String> =
        pairs.iter().map(|pair| format!("{} {}", pair.business_id.as_str(), pair.component)).collect();
    assert_eq!(pairs, ["b1 contact", "b1 agent", "b2 contact", "b2 agent"]);
}

#[test]
fn a_plan_of_single_entities_has_a_call_for_each() {
    let id = |text: &str| text.parse::<EntityId>().unwrap();
    let plan = ResyncPlan::entities(&business("b1"), &component("agents"), &[id("1"), id("2"), id("1")]).unwrap();
    let ResyncPlan::Entities(calls) = plan else { panic!("{plan:?}") };
    let calls: Vec<String> = calls.iter().map(|call| format!("{} {}", call.component, call.what)).collect();
    assert_eq!(calls, ["agent id=1", "agent id=2"]);
}

#[test]
fn an_empty_or_too_large_plan_is_rejected() {
    let (b1, contact) = (business("b1"), component("contact"));
    let missing = |plan: Result<ResyncPlan, InvalidPlan>| plan.unwrap_err().to_string();
    assert!(missing(ResyncPlan::everything(&[], &[], None)).contains("one business"));
    assert!(missing(ResyncPlan::everything(std::slice::from_ref(&b1), &[], None)).contains("one component"));
    assert!(missing(ResyncPlan::entities(&b1, &contact, &[])).contains("one id"));
    let many: Vec<BusinessId> = (0..=MAX_CALLS).map(|number| business(&number.to_string())).collect();
    assert_eq!(
        ResyncPlan::everything(&many, std::slice::from_ref(&contact), None),
        Err(InvalidPlan::TooMany { calls: MAX_CALLS + 1 })
    );
    assert!(ResyncPlan::everything(&many[1..], &[contact], None).is_ok());
}
