//! A server that answers exactly what a test wrote down: recorded pairs and broken answers alike.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

/// One answer.
#[derive(Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Announce more than is sent, then hang up.
    cut: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Reply { status, headers, body: body.into(), cut: false }
    }

    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Reply {
        Reply::new(200, "application/json", body)
    }

    pub(crate) fn html(status: u16) -> Reply {
        Reply::new(status, "text/html; charset=utf-8", "<!doctype html><title>x</title>")
    }

    /// The answer of a pair: its `response`, with `body` as text.
    pub(crate) fn of_pair(pair: &Value, body: String) -> Reply {
        let response = &pair["response"];
        let headers = response["headers"].as_object().unwrap();
        let headers = headers.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()));
        Reply {
            status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
            headers: headers.collect(),
            body: body.into_bytes(),
            cut: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn cut(mut self) -> Reply {
        self.cut = true;
        self
    }
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `GET /agents/?client=1`.
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

type Replies = HashMap<String, VecDeque<Reply>>;

/// A server on loopback. Its thread ends with the process.
pub(crate) struct Fake {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Answers each `METHOD path?query` with its reply, `METHOD path?query host` before it; a reply for `*` serves the
    /// rest, else HTML 404. Several replies for one line come in turn, the last one for good.
    pub(crate) fn start(replies: &[(&str, Reply)]) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut by_line: HashMap<String, VecDeque<Reply>> = HashMap::new();
        for (line, reply) in replies {
            by_line.entry((*line).to_owned()).or_default().push_back(reply.clone());
        }
        let replies = Arc::new(Mutex::new(by_line));
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

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

fn serve(stream: TcpStream, replies: &Mutex<Replies>, log: &Mutex<Vec<Asked>>) -> Option<()> {
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
    let reply = next_reply(&mut replies.lock().unwrap(), &line, &host);
    answer(stream, &reply).ok()
}

fn next_reply(replies: &mut Replies, line: &str, host: &str) -> Reply {
    let keys = [format!("{line} {host}"), line.to_owned(), "*".to_owned()];
    let key = keys.iter().find(|key| replies.contains_key(*key));
    let Some(queue) = key.and_then(|key| replies.get_mut(key)) else { return Reply::html(404) };
    let is_last = queue.len() == 1;
    if is_last { queue.front().cloned().unwrap() } else { queue.pop_front().unwrap() }
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
