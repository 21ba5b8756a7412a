//! ASTM by this bench's own hand: a driver whose every message is another one, and the least that a durable server can do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::{Process, Run};

/// Results of one message.
const RESULTS: usize = 5;
const RESULT: &str = "WBC^1|7.2|10*3/uL||N||F||||20260101120000";

/// The frames of a message about one sample (LIS1-A 6.3).
fn frames(sample: u64) -> Vec<Vec<u8>> {
    let mut records = vec!["H|\\^&|||    XN-550^00-01^11001^^^^AP123456||||||||E1394-97".to_owned(), "P|1".to_owned(), format!("O|1||^^{sample:>22}^M|^^^^WBC|R")];
    records.extend((1..=RESULTS).map(|number| format!("R|{number}|^^^^{RESULT}")));
    records.push("L|1|N".to_owned());
    let frame = |(index, record): (usize, &String)| {
        let body = format!("{}{record}\r\x03", (index + 1) % 8);
        let sum = body.bytes().fold(0_u8, |sum, byte| sum.wrapping_add(byte));
        format!("\x02{body}{sum:02X}\r\n").into_bytes()
    };
    records.iter().enumerate().map(frame).collect()
}

fn answer(stream: &mut TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    byte[0]
}

/// One connection until the end; the waits of its messages in microseconds.
fn connection(address: SocketAddr, number: &AtomicU64, end: Instant) -> Vec<f64> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut waits = Vec::new();
    while Instant::now() < end {
        let message = frames(number.fetch_add(1, Ordering::Relaxed));
        let began = Instant::now();
        stream.write_all(&[5]).unwrap();
        assert_eq!(answer(&mut stream), 6, "ENQ");
        for frame in &message {
            stream.write_all(frame).unwrap();
            assert_eq!(answer(&mut stream), 6, "a frame");
        }
        waits.push(began.elapsed().as_secs_f64() * 1e6);
        stream.write_all(&[4]).unwrap();
    }
    waits
}

/// Drives a server for three seconds.
pub fn drive(address: SocketAddr, connections: &str, server: Option<&Process>) -> Run {
    let number = AtomicU64::new(1);
    let (began, cpu) = (Instant::now(), server.map_or(0.0, Process::cpu));
    let end = began + Duration::from_secs(3);
    let mut waits: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections.parse().unwrap()).map(|_| scope.spawn(|| connection(address, &number, end))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    waits.sort_by(f64::total_cmp);
    let count = waits.len() as f64;
    let at = |part: usize| waits[waits.len() * part / 100] / 1e3;
    Run {
        messages_per_second: count / began.elapsed().as_secs_f64(),
        p50_ms: at(50),
        p99_ms: at(99),
        cpu_us: (server.map_or(0.0, Process::cpu) - cpu) / count * 1e6,
        memory: server.map_or(0.0, Process::memory),
    }
}

/// Appends and syncs what waits, then says so to everybody.
fn writer(mut file: std::fs::File, messages: &Receiver<(Vec<u8>, Sender<()>)>) {
    while let Ok(first) = messages.recv() {
        let group: Vec<_> = std::iter::once(first).chain(messages.try_iter()).collect();
        let bytes: Vec<u8> = group.iter().flat_map(|(message, _)| message.iter().copied()).collect();
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        group.into_iter().for_each(|(_, done)| done.send(()).unwrap());
    }
}

/// One connection of the floor: it looks for nothing but the end of a frame and the letter of its record.
fn serve(mut stream: TcpStream, writer: &Sender<(Vec<u8>, Sender<()>)>) {
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut frame, mut message) = ([0; 4_096], Vec::new(), Vec::new());
    let (done, written) = channel();
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        for byte in &buffer[..count] {
            match byte {
                5 => stream.write_all(&[6]).unwrap(),
                4 => {}
                b'\n' => {
                    message.extend_from_slice(&frame);
                    if frame.get(2) == Some(&b'L') {
                        writer.send((std::mem::take(&mut message), done.clone())).unwrap();
                        written.recv().unwrap();
                    }
                    frame.clear();
                    stream.write_all(&[6]).unwrap();
                }
                byte => frame.push(*byte),
            }
        }
    }
}

/// The least that a durable server can do, in threads of this process.
pub fn floor(folder: &Path) -> SocketAddr {
    let file = std::fs::File::create(folder.join("data/floor.log")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || writer(file, &receiver));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &sender));
        }
    });
    address
}
