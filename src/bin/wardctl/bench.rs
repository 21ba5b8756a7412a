//! `wardctl bench`: load on a running wardd, each connection waiting for its acknowledgement.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;
use wardd::framing::mllp::{Block, Decoder, frame};

use crate::out;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Sends HL7 results over MLLP and counts acknowledgements. Each becomes an item in that wardd's quarantine, since nobody
    /// ordered it: aim this at a wardd of its own, never at a hospital's.
    Ingest {
        /// The listener, as `endpoints.json` names it.
        address: String,
        /// Says that this wardd is no hospital's: thousands of items will wait in its quarantine.
        #[arg(long)]
        fill_the_quarantine: bool,
        /// How many connections.
        #[arg(long, default_value_t = 1)]
        connections: usize,
        /// How long, in seconds.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Prints one line of JSON.
        #[arg(long)]
        json: bool,
    },
}

fn message(control: &str) -> Vec<u8> {
    format!("MSH|^~\\&|BENCH|LAB|WARDD|HOSP|20260101120000||ORU^R01^ORU_R01|{control}|P|2.5.1\rPID|1||1000001^^^WARDD^MR\rOBR|1||{control}|24323-8^PANEL^LN|||20260101120000\rOBX|1|NM|2345-7^GLUCOSE^LN||99.5|mg/dL|70-110|N|||F|||20260101120000\rOBX|2|NM|2951-2^SODIUM^LN||140|mmol/L|136-145|N|||F|||20260101120000\r").into_bytes()
}

/// One connection until the end; the waits of its messages in microseconds.
fn connection(address: SocketAddr, number: usize, start: u128, end: Instant) -> Result<Vec<u64>, String> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            format!("{address} gave no MLLP answer in 20 s: is it a listener of HL7 devices, as <data>/endpoints.json names them?")
        }
        _ => format!("{address}: {error}"),
    };
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(failed)?;
    let mut decoder = Decoder::new(1 << 16);
    let mut buffer = [0_u8; 4_096];
    let mut waits = Vec::new();
    for count in 0_u64.. {
        if Instant::now() >= end {
            break;
        }
        let control = format!("B{start:x}.{number}.{count}");
        let began = Instant::now();
        stream.write_all(&frame(&message(&control))).map_err(failed)?;
        let answer = loop {
            match decoder.next() {
                Some(Block::Message(answer)) => break answer,
                Some(_) => return Err("the answer is no MLLP block".to_owned()),
                None => {
                    let read = stream.read(&mut buffer).map_err(failed)?;
                    if read == 0 {
                        return Err("wardd closed the connection".to_owned());
                    }
                    decoder.receive(&buffer[..read]);
                }
            }
        };
        let text = String::from_utf8_lossy(&answer);
        if !text.contains(&format!("MSA|AA|{control}")) {
            return Err(format!("message {control} was not accepted: {}", text.replace('\r', " ")));
        }
        waits.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(waits)
}

pub(crate) fn run(command: Command) -> Result<ExitCode, String> {
    let Command::Ingest { address, fill_the_quarantine, connections, seconds, json } = command;
    if !fill_the_quarantine {
        return Err("each message becomes an item in that wardd's quarantine, thousands of them: say --fill-the-quarantine when it is one of its own, and no hospital's".to_owned());
    }
    let mut found = std::net::ToSocketAddrs::to_socket_addrs(&address).map_err(|error| format!("{address}: {error}: write it as host:port"))?;
    let address = found.next().ok_or_else(|| format!("{address} has no address"))?;
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let threads: Vec<_> = (0..connections.clamp(1, 1_000)).map(|number| std::thread::spawn(move || connection(address, number, start, end))).collect();
    let mut waits = Vec::new();
    for thread in threads {
        waits.extend(thread.join().map_err(|_| "a connection's thread failed".to_owned())??);
    }
    waits.sort_unstable();
    let at = |part: f64| waits.get(((waits.len().max(1) - 1) as f64 * part) as usize).copied().unwrap_or(0);
    let rate = waits.len() as f64 / began.elapsed().as_secs_f64();
    if json {
        out::line(&serde_json::json!({ "conns": connections, "msgs": waits.len(), "msgs_s": rate, "p50_us": at(0.5), "p99_us": at(0.99) }).to_string());
    } else {
        out::line(&format!("{connections} connections: {rate:.0} messages/s, p50 {} us, p99 {} us, {} acknowledged and now in quarantine there", at(0.5), at(0.99), waits.len()));
    }
    Ok(ExitCode::SUCCESS)
}
