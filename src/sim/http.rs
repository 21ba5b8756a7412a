//! A tiny HTTP/1.1 client for JSON: one connection kept alive, Content-Length or chunked answers, everything bounded.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// An answer: the status and the body, `Null` when it is empty or no JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// E.g. 201.
    pub status: u16,
    /// Parsed body.
    pub body: Value,
}

impl Answer {
    /// True for 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A client of one server.
pub struct HttpClient {
    address: SocketAddr,
    token: Option<String>,
    timeout: Duration,
    keep_alive: bool,
    connection: Option<TcpStream>,
}

impl HttpClient {
    /// A client that sends `token` as Bearer and gives up a request after `timeout`.
    pub fn new(address: SocketAddr, token: Option<String>, timeout: Duration, keep_alive: bool) -> HttpClient {
        HttpClient { address, token, timeout, keep_alive, connection: None }
    }

    /// GET `path`.
    pub async fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.request("GET", path, None, None).await
    }

    /// POST a JSON body to `path`, with an Idempotency-Key when given. Only a request with a key is repeated when a kept
    /// connection turns out to be closed.
    pub async fn post(&mut self, path: &str, body: &Value, idempotency_key: Option<&str>) -> io::Result<Answer> {
        self.request("POST", path, Some(body), idempotency_key).await
    }

    async fn request(&mut self, method: &str, path: &str, body: Option<&Value>, key: Option<&str>) -> io::Result<Answer> {
        let bytes = self.compose(method, path, body, key)?;
        let reused = self.connection.as_ref().is_some_and(|stream| !is_closed(stream));
        let first = self.attempt(&bytes, reused).await;
        match first {
            Err(error) if reused && error.kind() != io::ErrorKind::TimedOut && (method == "GET" || key.is_some()) => self.attempt(&bytes, false).await,
            other => other,
        }
    }

    fn compose(&self, method: &str, path: &str, body: Option<&Value>, key: Option<&str>) -> io::Result<Vec<u8>> {
        let unsafe_text = |text: &str| text.chars().any(|c| c.is_control() || c == ' ');
        if unsafe_text(path) || key.is_some_and(unsafe_text) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "path or key with blanks or control characters"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n", self.address);
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if let Some(key) = key {
            head.push_str(&format!("Idempotency-Key: {key}\r\n"));
        }
        if method != "GET" {
            head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        head.push_str(if self.keep_alive { "Connection: keep-alive\r\n\r\n" } else { "Connection: close\r\n\r\n" });
        Ok([head.into_bytes(), body.into_bytes()].concat())
    }

    async fn attempt(&mut self, request: &[u8], reuse: bool) -> io::Result<Answer> {
        let kept = self.connection.take().filter(|_| reuse);
        let work = async {
            let mut stream = match kept {
                Some(stream) => stream,
                None => TcpStream::connect(self.address).await?,
            };
            stream.set_nodelay(true)?;
            stream.write_all(request).await?;
            let (answer, close) = read_answer(&mut stream).await?;
            Ok((answer, (!close && self.keep_alive).then_some(stream)))
        };
        match timeout(self.timeout, work).await {
            Ok(Ok((answer, connection))) => {
                self.connection = connection;
                Ok(answer)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0; 1];
    !matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

// The answer and whether the server closes the connection after it.
async fn read_answer(stream: &mut TcpStream) -> io::Result<(Answer, bool)> {
    let mut buffer = Vec::new();
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > HEAD_MAX_BYTES {
            return Err(invalid("head too large"));
        }
        fill(stream, &mut buffer).await?;
    };
    let head = String::from_utf8_lossy(buffer.get(..head_end).unwrap_or_default()).into_owned();
    buffer.drain(..head_end + 4);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse::<u16>().ok());
    let status = status.ok_or_else(|| invalid("no status line"))?;
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase())).collect();
    let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let body = if header("transfer-encoding") == Some("chunked") {
        read_chunks(stream, buffer).await?
    } else {
        let length = match header("content-length") {
            Some(text) => text.parse::<usize>().map_err(|_| invalid("content length"))?,
            None if status == 204 || status == 304 => 0,
            None => return Err(invalid("answer without a length")),
        };
        if length > ANSWER_MAX_BYTES {
            return Err(invalid("answer too large"));
        }
        while buffer.len() < length {
            fill(stream, &mut buffer).await?;
        }
        buffer.truncate(length);
        buffer
    };
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok((Answer { status, body }, header("connection") == Some("close")))
}

async fn read_chunks(stream: &mut TcpStream, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            if let Some(at) = buffer.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            if buffer.len() > HEAD_MAX_BYTES {
                return Err(invalid("chunk size"));
            }
            fill(stream, &mut buffer).await?;
        };
        let size = String::from_utf8_lossy(buffer.get(..line_end).unwrap_or_default()).into_owned();
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| invalid("chunk size"))?;
        if size > ANSWER_MAX_BYTES || body.len() + size > ANSWER_MAX_BYTES {
            return Err(invalid("answer too large"));
        }
        buffer.drain(..line_end + 2);
        while buffer.len() < size + 2 {
            fill(stream, &mut buffer).await?;
        }
        body.extend(buffer.drain(..size));
        buffer.drain(..2);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    if stream.read_buf(buffer).await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("http answer: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn answers_of_several_shapes_and_a_closed_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let answers = [
                &b"HTTP/1.1 201 Created\r\ncontent-length: 7\r\n\r\n{\"a\":1}"[..],
                b"HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"e\r\n4\r\n\":2}\r\n0\r\n\r\n",
                b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            ];
            let mut heads = Vec::new();
            for round in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                for answer in answers.iter().skip(round * 2) {
                    let mut request = vec![0; 2_000];
                    let count = stream.read(&mut request).await.unwrap();
                    heads.push(String::from_utf8_lossy(&request[..count]).into_owned());
                    if round == 0 && heads.len() == 3 {
                        break;
                    }
                    stream.write_all(answer).await.unwrap();
                }
            }
            heads
        });
        let mut client = HttpClient::new(address, Some("t".into()), Duration::from_secs(5), true);
        let first = client.post("/a", &json!({"x": 1}), None).await.unwrap();
        assert_eq!(first, Answer { status: 201, body: json!({"a": 1}) });
        let second = client.post("/b", &json!({}), Some("k1")).await.unwrap();
        assert_eq!((second.is_success(), second.body), (false, json!({"e": 2})));
        // The server drops the kept connection after reading; the request has a key and is repeated.
        let third = client.post("/c", &json!({}), Some("k2")).await.unwrap();
        assert_eq!((third.status, third.body), (204, Value::Null));
        let heads = server.await.unwrap();
        assert!(heads[0].contains("Authorization: Bearer t\r\n") && heads[0].ends_with("{\"x\":1}"));
        assert_eq!(heads[2], heads[3]);
        assert!(client.get("/a b").await.is_err());
    }
}
