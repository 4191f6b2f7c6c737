//! A reader of server-sent events.

use std::time::Duration;

use reqwest::Response;

/// An event that does not come within this is missing.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) subject: String,
}

pub(crate) struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    pub(crate) fn new(response: Response) -> Stream {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { response, text: String::new() }
    }

    /// Waits until the stream stands: its first comment has come.
    pub(crate) async fn stands(mut self) -> Stream {
        while !self.text.contains("welcome") {
            self.more().await;
        }
        self
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                if let Some(event) = event {
                    return event;
                }
            }
            self.more().await;
        }
    }

    /// The next event of this kind.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Event {
        loop {
            let event = self.next().await;
            if event.kind == kind {
                return event;
            }
        }
    }

    async fn more(&mut self) {
        let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("an event comes");
        self.text.push_str(&String::from_utf8_lossy(&chunk.unwrap().expect("the stream goes on")));
    }
}

/// An event, or nothing for a comment.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let found = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map(|value| value.strip_prefix(' ').unwrap_or(value).to_owned())
    };
    let data: serde_json::Value = serde_json::from_str(&field("data")?).unwrap();
    assert_eq!(data.as_object().unwrap().len(), 1, "nothing but the id: {data}");
    Some(Event {
        id: field("id")?.parse().unwrap(),
        kind: field("event")?,
        subject: data["subject_id"].as_str().unwrap().to_owned(),
    })
}
