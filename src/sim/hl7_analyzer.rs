//! Mindray style analyzers over MLLP: one connects to the daemon, the other is connected to; both send ORU^R01 v2.3.1.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::astm_line::scaled;
use super::astm_records::{Measurement, measure};
use super::clock::{Clock, Moment};
use super::counts::Counts;
use super::device::{AnalyzerCommand, JOBS_MAX, RUN_SECONDS, until_stopped};
use super::mllp::{Answer, MllpLine};
use super::random::Random;
use super::wiring::Assay;

const ATTEMPTS_MAX: u32 = 400;
const CONNECT_WAIT: Duration = Duration::from_secs(5);
const QC_PER_MILLE: u32 = 60;
const UNKNOWN_ACCESSION_PER_MILLE: u32 = 20;
const SPLIT_PER_MILLE: u32 = 200;
const NEEDLESS_RESEND_PER_MILLE: u32 = 30;

/// Which of the two forms.
pub enum Hl7Link {
    /// BC-5380: connects to the daemon.
    Connect(SocketAddr),
    /// BC-5150: the daemon connects to this listener; MSH-3 and MSH-4 are empty.
    Listen(TcpListener),
}

/// Settings of one analyzer.
#[derive(Debug, Clone)]
pub struct Hl7Settings {
    /// What it offers.
    pub tests: Vec<Assay>,
    /// Multiplies waits and the run time.
    pub time_scale: f64,
    /// Whether it makes faults on purpose.
    pub noisy: bool,
    /// Its clock.
    pub clock: Clock,
    /// Its randomness.
    pub random: Random,
}

/// A running analyzer.
pub struct Hl7Analyzer {
    settings: Hl7Settings,
    named: bool,
    outgoing: VecDeque<Outgoing>,
    // A message is on its way, and would be lost from sight when the device is stopped now.
    in_hand: bool,
    last_control_id: u64,
    counts: Counts,
}

struct Outgoing {
    control_id: String,
    text: String,
    // 0 for quality control and unknown tubes, which are no patient's results.
    results: u64,
    attempts: u32,
}

impl Hl7Analyzer {
    /// An analyzer without tubes.
    pub fn new(settings: Hl7Settings) -> Hl7Analyzer {
        // Control ids must not begin again after a restart of the device, so they start at its clock.
        let last_control_id = u64::try_from(settings.clock.now().unix_ms).unwrap_or(0);
        Hl7Analyzer { settings, named: true, outgoing: VecDeque::new(), in_hand: false, last_control_id, counts: Counts::default() }
    }

    /// Works until the commands end and all is sent, or `stop` turns true.
    pub async fn run(mut self, link: Hl7Link, mut commands: mpsc::Receiver<AnalyzerCommand>, stop: watch::Receiver<bool>) -> Counts {
        self.named = matches!(link, Hl7Link::Connect(_));
        let work = async {
            loop {
                if let Ok(stream) = open(&link).await {
                    let _ = stream.set_nodelay(true);
                    let ended = self.work(MllpLine::new(stream), &link, &mut commands).await;
                    if let Ok(true) = ended {
                        return;
                    }
                }
                self.counts.reconnects += 1;
                let pause = scaled(2.0, self.settings.time_scale).max(Duration::from_millis(50));
                if matches!(link, Hl7Link::Connect(_)) {
                    sleep(pause).await;
                }
            }
        };
        until_stopped(work, stop).await;
        self.counts.abandoned += self.outgoing.len() as u64 + u64::from(self.in_hand);
        self.counts
    }

    // True when everything is done; false when a newer connection should be used.
    async fn work(&mut self, mut line: MllpLine<TcpStream>, link: &Hl7Link, commands: &mut mpsc::Receiver<AnalyzerCommand>) -> io::Result<bool> {
        loop {
            if self.outgoing.is_empty() {
                tokio::select! {
                    command = commands.recv() => match command {
                        None => return Ok(true),
                        Some(AnalyzerCommand::Tube { accession, tests }) => self.process(&accession, &tests).await,
                        Some(AnalyzerCommand::Unplug(_)) => self.counts.ignored += 1,
                    },
                    // Whatever comes unasked is dropped; the end of the connection shows here too.
                    block = line.block() => {
                        block?;
                        self.counts.ignored += 1;
                    }
                    newer = newer_connection(link) => {
                        self.counts.reconnects += 1;
                        line = MllpLine::new(newer?);
                    }
                }
            }
            while let Some(message) = self.outgoing.pop_front() {
                self.in_hand = true;
                let delivered = self.deliver(message, &mut line).await;
                self.in_hand = false;
                delivered?;
            }
        }
    }

    async fn process(&mut self, accession: &str, tests: &[String]) {
        self.counts.given += 1;
        sleep(scaled(RUN_SECONDS, self.settings.time_scale)).await;
        let random = &mut self.settings.random;
        let offered = self.settings.tests.iter().filter(|assay| tests.contains(&assay.loinc));
        let measured: Vec<Measurement> = offered.map(|assay| measure(assay, random)).collect();
        if measured.is_empty() {
            self.counts.ignored += 1;
            return;
        }
        let quality_control = self.settings.noisy && random.chance(QC_PER_MILLE);
        let unknown = self.settings.noisy && random.chance(UNKNOWN_ACCESSION_PER_MILLE);
        if quality_control {
            self.counts.noise += 1;
            self.queue("QC-L2-0417", "Q", &measured, 0);
        }
        if unknown {
            self.counts.noise += 1;
            let typo = format!("X{accession}9");
            self.queue(&typo, "P", &measured, 0);
        }
        self.queue(accession, "P", &measured, measured.len() as u64);
    }

    fn queue(&mut self, sample: &str, processing: &str, measured: &[Measurement], results: u64) {
        if self.outgoing.len() >= JOBS_MAX {
            self.counts.abandoned += 1;
            return;
        }
        self.last_control_id += 1;
        let control_id = self.last_control_id.to_string();
        let now = self.settings.clock.now();
        let text = result_message(self.named, &control_id, processing, sample, measured, now);
        self.counts.sent += 1;
        self.outgoing.push_back(Outgoing { control_id, text, results, attempts: 0 });
    }

    async fn deliver(&mut self, mut message: Outgoing, line: &mut MllpLine<TcpStream>) -> io::Result<()> {
        let wait = scaled(10.0, self.settings.time_scale).max(Duration::from_millis(200));
        let noisy = self.settings.noisy;
        while message.attempts < ATTEMPTS_MAX {
            self.counts.resends += u64::from(message.attempts > 0);
            message.attempts += 1;
            let random = &mut self.settings.random;
            let needless = noisy && message.attempts == 1 && random.chance(NEEDLESS_RESEND_PER_MILLE);
            let split = (noisy && random.chance(SPLIT_PER_MILLE)).then_some(random);
            let answer = line.exchange(&message.text, &message.control_id, wait, split, &mut self.counts).await;
            match answer {
                Ok(Answer::Accepted) if needless => self.counts.noise += 1,
                Ok(Answer::Accepted) => {
                    self.counts.acknowledged += 1;
                    self.counts.results += message.results;
                    return Ok(());
                }
                Ok(Answer::Refused) => {
                    self.counts.refused += 1;
                    return Ok(());
                }
                Ok(Answer::Silence) => {}
                Err(error) => {
                    self.outgoing.push_front(message);
                    return Err(error);
                }
            }
        }
        self.counts.abandoned += 1;
        Ok(())
    }
}

async fn open(link: &Hl7Link) -> io::Result<TcpStream> {
    match link {
        Hl7Link::Connect(address) => match timeout(CONNECT_WAIT, TcpStream::connect(address)).await {
            Ok(stream) => stream,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
        Hl7Link::Listen(listener) => listener.accept().await.map(|(stream, _)| stream),
    }
}

// A daemon that restarted connects again before the old connection is known to be dead.
async fn newer_connection(link: &Hl7Link) -> io::Result<TcpStream> {
    match link {
        Hl7Link::Connect(_) => std::future::pending().await,
        Hl7Link::Listen(listener) => listener.accept().await.map(|(stream, _)| stream),
    }
}

fn result_message(named: bool, control_id: &str, processing: &str, sample: &str, measured: &[Measurement], at: Moment) -> String {
    let (application, facility) = if named { ("Mindray", "BC-5380") } else { ("", "") };
    let time = at.compact();
    let service = if processing == "Q" { "00003^LJ QCR^99MRC" } else { "00001^Automated Count^99MRC" };
    let mut segments = vec![
        format!("MSH|^~\\&|{application}|{facility}|||{time}||ORU^R01|{control_id}|{processing}|2.3.1||||||UNICODE"),
        "PID|1".to_owned(),
        format!("OBR|1||{sample}|{service}|||{time}"),
    ];
    for (index, m) in measured.iter().enumerate() {
        let assay = &m.assay;
        let identifier = if assay.code.contains('^') { assay.code.clone() } else { format!("{}^{}^LN", assay.loinc, assay.code) };
        let digits = usize::from(assay.decimals.min(6));
        segments.push(format!("OBX|{}|NM|{identifier}||{}|{}|{:.digits$}-{:.digits$}|{}|||F", index + 1, m.value, assay.unit, assay.low, assay.high, m.flag));
    }
    segments.iter().flat_map(|segment| [segment.as_str(), "\r"]).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn assay() -> Assay {
        Assay { loinc: "6690-2".into(), code: "WBC".into(), unit: "10*9/L".into(), low: 4.0, high: 10.0, decimals: 1 }
    }

    fn settings() -> Hl7Settings {
        Hl7Settings { tests: vec![assay()], time_scale: 0.01, noisy: false, clock: Clock::default(), random: Random::new(1) }
    }

    #[test]
    fn message_of_both_forms() {
        let measured = [Measurement { assay: assay(), value: "5.8".into(), flag: "N" }];
        let at = Moment { unix_ms: 951_827_696_000 };
        let text = result_message(true, "7", "P", "A1", &measured, at);
        let expected = "MSH|^~\\&|Mindray|BC-5380|||20000229123456||ORU^R01|7|P|2.3.1||||||UNICODE\rPID|1\r\
            OBR|1||A1|00001^Automated Count^99MRC|||20000229123456\r\
            OBX|1|NM|6690-2^WBC^LN||5.8|10*9/L|4.0-10.0|N|||F\r";
        assert_eq!(text, expected);
        assert!(result_message(false, "7", "Q", "A1", &measured, at).starts_with("MSH|^~\\&|||||20000229123456||ORU^R01|7|Q|"));
    }

    fn tube(accession: &str) -> AnalyzerCommand {
        AnalyzerCommand::Tube { accession: accession.into(), tests: vec!["6690-2".into()] }
    }

    fn control_id(block: &[u8]) -> String {
        String::from_utf8_lossy(block).split('|').nth(9).unwrap().to_owned()
    }

    async fn acknowledge(stream: &mut TcpStream, code: &str, id: &str) {
        let text = format!("\x0bMSH|^~\\&|wardd||||20260101||ACK|1|P|2.3.1\rMSA|{code}|{id}\r\x1c\r");
        stream.write_all(text.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn resends_the_same_message_after_a_drop_and_a_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (commands, inbox) = mpsc::channel(8);
        let (_stop, stopped) = watch::channel(false);
        let running = tokio::spawn(Hl7Analyzer::new(settings()).run(Hl7Link::Connect(address), inbox, stopped));
        commands.send(tube("A1")).await.unwrap();
        commands.send(tube("A2")).await.unwrap();
        drop(commands);
        let (stream, _) = listener.accept().await.unwrap();
        let first = MllpLine::new(stream).block().await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let (second, third, fourth) = {
            let mut line = MllpLine::new(&mut stream);
            let second = line.block().await.unwrap();
            let third = line.block().await.unwrap();
            acknowledge(line_stream(&mut line), "AA", &control_id(&third)).await;
            let fourth = line.block().await.unwrap();
            acknowledge(line_stream(&mut line), "AE", &control_id(&fourth)).await;
            (second, third, fourth)
        };
        assert!(first == second && second == third && control_id(&fourth) != control_id(&third));
        let counts = running.await.unwrap();
        assert_eq!((counts.sent, counts.acknowledged, counts.refused, counts.resends), (2, 1, 1, 2), "{counts}");
    }

    fn line_stream<'a, 'b>(line: &'a mut MllpLine<&'b mut TcpStream>) -> &'a mut &'b mut TcpStream {
        line.stream_mut()
    }

    #[tokio::test]
    async fn listens_and_takes_a_newer_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (commands, inbox) = mpsc::channel(8);
        let (_stop, stopped) = watch::channel(false);
        let running = tokio::spawn(Hl7Analyzer::new(settings()).run(Hl7Link::Listen(listener), inbox, stopped));
        let _old = TcpStream::connect(address).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        let mut new = TcpStream::connect(address).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        commands.send(tube("A1")).await.unwrap();
        drop(commands);
        let block = MllpLine::new(&mut new).block().await.unwrap();
        acknowledge(&mut new, "CA", &control_id(&block)).await;
        let counts = running.await.unwrap();
        assert_eq!((counts.acknowledged, counts.results), (1, 1), "{counts}");
    }
}
