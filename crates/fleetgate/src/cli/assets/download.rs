//! Files from the server, of any length, piece by piece. A named file appears only when it is complete.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use reqwest::Response;

use crate::cli::{Session, failure::Failure};

/// Writes the answer to `output`, or to standard output.
pub(crate) async fn save(
    response: Response,
    output: Option<&Path>,
    session: &Session,
) -> Result<(), Failure> {
    let Some(path) = output else {
        return match copy(response, &mut io::stdout().lock(), session).await {
            Err(Broken::Here(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|broken| broken.tell("standard output")),
        };
    };
    let part = part_of(path);
    let shown = path.display().to_string();
    let written = match File::create(&part) {
        Ok(mut file) => copy(response, &mut file, session).await.and_then(|()| keep(&file, &part, path)),
        Err(error) => Err(Broken::Here(error)),
    };
    if let Err(broken) = written {
        let _already_gone_or_not = std::fs::remove_file(&part);
        return Err(broken.tell(&shown));
    }
    session.output.note(&format!("Written: {shown}"));
    Ok(())
}

enum Broken {
    Here(io::Error),
    There(Failure),
}

impl Broken {
    fn tell(self, target: &str) -> Failure {
        match self {
            Broken::Here(error) => Failure::io(&format!("cannot write `{target}`"), &error),
            Broken::There(failure) => failure.advise("The file is incomplete and was not kept."),
        }
    }
}

async fn copy(mut response: Response, target: &mut impl Write, session: &Session) -> Result<(), Broken> {
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => target.write_all(&chunk).map_err(Broken::Here)?,
            Ok(None) => return target.flush().map_err(Broken::Here),
            Err(error) => return Err(Broken::There(session.client.broken(error))),
        }
    }
}

fn keep(file: &File, part: &Path, path: &Path) -> Result<(), Broken> {
    file.sync_all().and_then(|()| std::fs::rename(part, path)).map_err(Broken::Here)
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}
