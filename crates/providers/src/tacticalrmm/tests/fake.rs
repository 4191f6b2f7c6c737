//! A server that answers exactly what a test wrote down: recorded pairs and broken answers alike.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::recorded;

/// One answer.
#[derive(Clone)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Announce more than is sent, then hang up.
    cut: bool,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Reply { status, headers, body: body.into(), cut: false }
    }

    pub(super) fn json(body: impl Into<Vec<u8>>) -> Reply {
        Reply::new(200, "application/json", body)
    }

    pub(super) fn html(status: u16) -> Reply {
        Reply::new(status, "text/html; charset=utf-8", "<!doctype html><title>x</title>")
    }

    /// The answer of a recorded pair.
    pub(super) fn recorded(name: &str) -> Reply {
        let pair = recorded(name);
        let response = &pair["response"];
        let headers = response["headers"].as_object().unwrap();
        let headers = headers.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()));
        Reply {
            status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
            headers: headers.collect(),
            body: super::recorded_body(name).into_bytes(),
            cut: false,
        }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn cut(mut self) -> Reply {
        self.cut = true;
        self
    }
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// `GET /agents/?client=1`.
    pub(super) line: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

/// A server on loopback. Its thread ends with the process.
pub(super) struct Fake {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Answers each `METHOD path?query` with its reply, `METHOD path?query host` before it; a reply for `*` serves the
    /// rest, else HTML 404.
    pub(super) fn start(replies: &[(&str, Reply)]) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let replies: Arc<HashMap<String, Reply>> =
            Arc::new(replies.iter().map(|(line, reply)| ((*line).to_owned(), reply.clone())).collect());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (replies, log) = (replies.clone(), log.clone());
                thread::spawn(move || serve(stream, &replies, &log));
            }
        });
        Fake { url, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

fn serve(stream: TcpStream, replies: &HashMap<String, Reply>, log: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split(' ');
    let line = format!("{} {}", words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let host = headers.get("host").and_then(|host| host.split(':').next()).unwrap_or_default().to_owned();
    log.lock().unwrap().push(Asked {
        line: line.clone(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let reply = replies
        .get(&format!("{line} {host}"))
        .or_else(|| replies.get(&line))
        .or_else(|| replies.get("*"))
        .cloned()
        .unwrap_or_else(|| Reply::html(404));
    answer(stream, &reply).ok()
}

fn answer(mut stream: TcpStream, reply: &Reply) -> std::io::Result<()> {
    let length = reply.body.len() + if reply.cut { 1_000 } else { 0 };
    let mut head =
        format!("HTTP/1.1 {} x\r\nContent-Length: {length}\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(&reply.body)?;
    stream.flush()
}
