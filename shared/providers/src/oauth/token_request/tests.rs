use super::*;
use crate::testing::headers;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn basic_header(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

fn read(pairs: &[(&'static str, &str)], body: &str) -> Result<(String, String), TokenError> {
    let request = TokenRequest::read(&headers(pairs), body.as_bytes())?;
    Ok((request.client_id, request.client_secret.reveal().to_owned()))
}

#[test]
fn credentials_come_by_http_basic_or_in_the_body() {
    let expected = Ok(("ibm".to_owned(), "s3cret".to_owned()));
    let basic = basic_header("ibm", "s3cret");
    let grant = "grant_type=client_credentials";
    assert_eq!(read(&[FORM, ("authorization", &basic)], grant), expected);
    assert_eq!(read(&[FORM, ("authorization", &basic.replace("Basic", "bAsIc"))], grant), expected);
    assert_eq!(read(&[FORM], "client_secret=s3cret&grant_type=client_credentials&client_id=ibm&scope=a+b"), expected);
    assert_eq!(read(&[FORM, ("authorization", &basic)], "client_id=ibm&grant_type=client_credentials"), expected);
    let with_charset = ("content-type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8");
    assert_eq!(read(&[with_charset, ("authorization", &basic)], grant), expected);
}

#[test]
fn both_parts_of_http_basic_are_form_decoded() {
    let grant = "grant_type=client_credentials";
    let encoded = basic_header("a%3Ab", "p%2Bq+r%26%3D%25");
    assert_eq!(read(&[FORM, ("authorization", &encoded)], grant), Ok(("a:b".to_owned(), "p+q r&=%".to_owned())));
    let plain = basic_header("ibm", "x=y&z:w");
    assert_eq!(read(&[FORM, ("authorization", &plain)], grant), Ok(("ibm".to_owned(), "x=y&z:w".to_owned())));
}

#[test]
fn a_request_that_is_not_of_the_form_gets_the_error_of_rfc_6749() {
    let basic = basic_header("ibm", "s");
    let grant = "grant_type=client_credentials";
    let code = |pairs: &[(&'static str, &str)], body: &str| read(pairs, body).unwrap_err().code();
    let authorized = [FORM, ("authorization", basic.as_str())];
    assert_eq!(code(&[("authorization", &basic), ("content-type", "application/json")], "{}"), "invalid_request");
    assert_eq!(code(&[("authorization", &basic)], grant), "invalid_request");
    assert_eq!(code(&authorized, ""), "invalid_request");
    assert_eq!(code(&authorized, "grant_type="), "invalid_request");
    assert_eq!(code(&authorized, "grant_type=password"), "unsupported_grant_type");
    assert_eq!(code(&authorized, &format!("{grant}&{grant}")), "invalid_request");
    assert_eq!(code(&authorized, &format!("{grant}&client_id=ibm&client_secret=s")), "invalid_request");
    assert_eq!(code(&authorized, &format!("{grant}&client_id=other")), "invalid_request");
    assert_eq!(code(&[FORM, authorized[1], authorized[1]], grant), "invalid_request");
}

#[test]
fn credentials_that_are_missing_or_unreadable_are_an_invalid_client() {
    let grant = "grant_type=client_credentials";
    for header in ["Bearer abc", "Basic", "Basic !!!", "Basic aWJt"] {
        assert_eq!(read(&[FORM, ("authorization", header)], grant), Err(TokenError::InvalidClient), "{header}");
    }
    assert_eq!(read(&[FORM], grant), Err(TokenError::InvalidClient));
    assert_eq!(read(&[FORM], &format!("{grant}&client_id=ibm")), Err(TokenError::InvalidClient));
    assert_eq!(TokenError::InvalidClient.status(), 401);
    assert_eq!(TokenError::UnsupportedGrantType.status(), 400);
}
