//! HTTP by hand: for paths that a well-behaved client would tidy up before sending.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// The status and the whole answer.
#[track_caller]
pub(crate) fn send(authority: &str, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|header| header.starts_with("host:")) {
        head.push_str(&format!("host: {authority}\r\n"));
    }
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server that refuses the head may reset the connection once it has answered.
    let _whole_or_reset = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no HTTP: {answer}")), answer)
}
