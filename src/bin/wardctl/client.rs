//! A small HTTP/1.1 client for a wardd on this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_MAX: u64 = 64 << 20;

#[derive(Args)]
pub(crate) struct Server {
    /// The address of wardd's web server.
    #[arg(long, default_value = "127.0.0.1:8080", global = true)]
    http: SocketAddr,
    /// The file with the token, where wardd wants one.
    #[arg(long, global = true)]
    token_file: Option<PathBuf>,
}

impl Server {
    /// Asks; gives the status and the JSON of the answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        let failed = |error: std::io::Error| format!("wardd at {} does not answer ({error}): is it running, and is this its http.bind?", self.http);
        let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(3)).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let token = match &self.token_file {
            Some(path) => format!("Authorization: Bearer {}\r\n", std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?.trim()),
            None => String::new(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n{token}Content-Length: {}\r\n\r\n{body}",
            self.http,
            body.len()
        );
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).map_err(failed)?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer is no HTTP")?;
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).ok_or("the answer has no status")?;
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
        Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
    }
}

fn unchunked(body: &str) -> String {
    let mut rest = body;
    let mut whole = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some((piece, next)) = tail.split_at_checked(size).filter(|_| size > 0) else { break };
        whole.push_str(piece);
        rest = next.strip_prefix("\r\n").unwrap_or(next);
    }
    whole
}
