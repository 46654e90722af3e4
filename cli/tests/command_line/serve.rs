use std::net::TcpListener;

use crate::program::{Server, errors, exchange, output, run};

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = run(parent.path(), &["serve", "--listen", &address.to_string()]);
    let text = errors(&refused);
    assert!(!refused.status.success());
    assert!(text.contains(&format!("port {} on 127.0.0.1 is taken", address.port())), "{text}");
    assert!(text.contains(&format!("--port {}", address.port().wrapping_add(1))), "{text}");
    let port = address.port().to_string();
    for arguments in [&["serve", "--port", &port][..], &["demo", "--exit", "--port", &port]] {
        assert_eq!(errors(&run(parent.path(), arguments)), text);
    }
}

#[test]
fn an_address_that_is_none_or_unknown_is_explained() {
    let parent = tempfile::tempdir().unwrap();
    for (arguments, code, expected) in [
        (&["--listen", "8399"][..], 2, "or the port alone with --port"),
        (&["--port", "8399", "--listen", "localhost:8399"], 2, "cannot be used with"),
        (&["--listen", "nobody.invalid:8399"], 1, "nobody.invalid has no address here"),
    ] {
        let refused = run(parent.path(), &[&["serve"], arguments].concat());
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}");
        assert!(errors(&refused).contains(expected), "{}", errors(&refused));
    }
}

#[cfg(unix)]
#[test]
fn a_server_that_ends_in_good_order_takes_its_address_back() {
    let parent = tempfile::tempdir().unwrap();
    let server = Server::start(parent.path());
    let file = parent.path().join("server.address");
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), server.address());
    assert!(server.terminate());
    assert!(!file.exists());
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named_with_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["demo", "--exit"]] {
        let refused = run(&file.join("data"), command);
        let text = errors(&refused);
        assert!(!refused.status.success());
        assert!(text.contains("cannot be written; give yourself the right to, or choose another"), "{text}");
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let _server = Server::start(parent.path());
    let refused = run(parent.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let text = errors(&refused);
    assert!(!refused.status.success());
    assert!(text.contains("another server is using the data directory"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_server_that_is_asked_to_end_does_so_though_a_client_never_ends_its_request() {
    use std::io::Write as _;
    let parent = tempfile::tempdir().unwrap();
    let server = Server::start(parent.path());
    let _idle = std::net::TcpStream::connect(server.address()).unwrap();
    let mut half = std::net::TcpStream::connect(server.address()).unwrap();
    half.write_all(b"POST /webhooks/machnet HTTP/1.1\r\nhost: x\r\n").unwrap();
    // What comes next is answered, so the server has seen the half request too.
    server.health();
    assert!(server.terminate());
}

#[test]
fn other_paths_and_methods_are_answered_as_problems() {
    let parent = tempfile::tempdir().unwrap();
    let server = Server::start(parent.path());
    let get = |path: &str| {
        exchange(server.address(), &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    };
    let unknown = get("/webhooks/nobody");
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    assert!(unknown.contains("application/problem+json") && unknown.contains("/webhooks/machnet"), "{unknown}");
    assert!(get("/webhooks/machnet").starts_with("HTTP/1.1 405"));
    assert!(server.health().contains(r#"{"status":"ok","queued":0,"dead_letters":0}"#));
}

#[test]
fn commands_on_data_that_is_not_there_say_so_and_make_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    for command in ["events", "entities", "redrive", "dead-letters", "quarantine", "refused"] {
        let refused = run(&data, &[command]);
        assert!(!refused.status.success(), "{}", output(&refused));
        assert!(errors(&refused).contains("there is no data in"), "{}", errors(&refused));
    }
    assert!(!data.exists());
}
