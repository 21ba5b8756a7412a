//! An analyzer on a LIS1-A line: takes tubes, asks the host what to run (Roche), measures, and sends until it is taken.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::astm_frame::{ENQ, Packing};
use super::astm_line::{Line, LineNoise, Sent, Timing, Wire, scaled};
use super::astm_records::{Flavour, Measurement, bare_code, measure, ordered_codes, query, results};
use super::clock::{Clock, Moment};
use super::counts::Counts;
use super::device::{AnalyzerCommand, JOBS_MAX, RUN_SECONDS, until_stopped};
use super::pty::Pty;
use super::random::Random;
use super::wiring::Assay;

const SEND_ATTEMPTS_MAX: u32 = 400;
const QUERY_ATTEMPTS_MAX: u32 = 4;
const OPERATOR_RESEND_PER_MILLE: u32 = 60;
// Listening ends with the answer, so a long wait costs nothing but where there is none.
const QUERY_WAIT_MIN: Duration = Duration::from_secs(1);
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Settings of one analyzer.
#[derive(Debug, Clone)]
pub struct AstmSettings {
    /// Whose habits.
    pub flavour: Flavour,
    /// What it offers.
    pub tests: Vec<Assay>,
    /// Multiplies all waits and the run time.
    pub time_scale: f64,
    /// Faults made on purpose.
    pub noise: LineNoise,
    /// Its clock.
    pub clock: Clock,
    /// Its randomness.
    pub random: Random,
}

/// A running analyzer; see [`AstmAnalyzer::run_serial`] and [`AstmAnalyzer::run_tcp`].
pub struct AstmAnalyzer {
    settings: AstmSettings,
    jobs: VecDeque<Job>,
    // A tube is being worked on, and would be lost from sight when the device is stopped now.
    in_hand: bool,
    counts: Counts,
}

// What was measured is kept until it is taken, so that a repetition carries the same values and times.
struct Job {
    accession: String,
    tests: Vec<String>,
    stage: Stage,
    attempts: u32,
    // An operator's repetition of a taken message.
    repeated: bool,
}

enum Stage {
    Query,
    Run,
    Send { measured: Vec<Measurement>, measured_at: Moment, records: Vec<String> },
}

enum Next {
    Finished,
    Unplugged(Duration),
}

impl AstmAnalyzer {
    /// An analyzer without tubes.
    pub fn new(settings: AstmSettings) -> AstmAnalyzer {
        AstmAnalyzer { settings, jobs: VecDeque::new(), in_hand: false, counts: Counts::default() }
    }

    /// Works on a pty until the commands end and all tubes are done, or `stop` turns true.
    pub async fn run_serial(mut self, pty: Pty, mut commands: mpsc::Receiver<AnalyzerCommand>, stop: watch::Receiver<bool>) -> Counts {
        let mut line = self.line(pty);
        let work = async {
            loop {
                match self.work(&mut line, &mut commands).await {
                    Ok(Next::Finished) => return,
                    Ok(Next::Unplugged(duration)) => {
                        line.counts.noise += 1;
                        line.stream_mut().unplug();
                        sleep(duration).await;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "simulated serial analyzer lost its line")
                    }
                }
                line.counts.reconnects += 1;
                while line.stream_mut().replug().is_err() {
                    sleep(Duration::from_millis(200)).await;
                }
            }
        };
        until_stopped(work, stop).await;
        self.finish(line.counts)
    }

    /// Connects to `address` and works there, reconnecting after each loss, until the commands end and all tubes are
    /// done, or `stop` turns true.
    pub async fn run_tcp(mut self, address: SocketAddr, mut commands: mpsc::Receiver<AnalyzerCommand>, stop: watch::Receiver<bool>) -> Counts {
        let mut line_counts = Counts::default();
        let work = async {
            loop {
                if let Ok(Ok(stream)) = timeout(CONNECT_WAIT, TcpStream::connect(address)).await {
                    let _ = stream.set_nodelay(true);
                    let mut line = self.line(stream);
                    let next = self.work(&mut line, &mut commands).await;
                    line_counts.add(&line.counts);
                    if let Ok(Next::Finished) = next {
                        return;
                    }
                }
                line_counts.reconnects += 1;
                sleep(scaled(2.0, self.settings.time_scale).max(Duration::from_millis(50))).await;
            }
        };
        until_stopped(work, stop).await;
        self.finish(line_counts)
    }

    fn finish(mut self, line: Counts) -> Counts {
        self.counts.abandoned += u64::from(self.in_hand);
        self.counts.abandoned += self.jobs.iter().filter(|job| !job.repeated).count() as u64;
        self.counts.add(&line);
        self.counts
    }

    fn line<S: Wire>(&mut self, stream: S) -> Line<S> {
        let random = Random::new(self.settings.random.next_u64());
        Line::new(stream, Timing::scaled(self.settings.time_scale), self.settings.noise, random)
    }

    async fn work<S: Wire>(&mut self, line: &mut Line<S>, commands: &mut mpsc::Receiver<AnalyzerCommand>) -> io::Result<Next> {
        loop {
            let room = self.jobs.len() < JOBS_MAX;
            let command = if self.jobs.is_empty() {
                tokio::select! {
                    command = commands.recv() => match command {
                        None => return Ok(Next::Finished),
                        command => command,
                    },
                    byte = line.byte() => {
                        if byte? == ENQ {
                            line.receive().await?;
                            // Orders nobody asked for: this analyzer runs what it is loaded with.
                            self.counts.ignored += line.received.len() as u64;
                            line.received.clear();
                        }
                        None
                    }
                }
            } else if room {
                commands.try_recv().ok()
            } else {
                None
            };
            match command {
                Some(AnalyzerCommand::Tube { accession, tests }) => self.load(accession, tests),
                Some(AnalyzerCommand::Unplug(duration)) => return Ok(Next::Unplugged(duration)),
                None => {}
            }
            if let Some(job) = self.jobs.pop_front() {
                self.in_hand = !job.repeated;
                let advanced = self.advance(job, line).await;
                self.in_hand = false;
                advanced?;
            }
        }
    }

    fn load(&mut self, accession: String, tests: Vec<String>) {
        self.counts.given += 1;
        let stage = match self.settings.flavour {
            Flavour::Sysmex => Stage::Run,
            Flavour::Roche => Stage::Query,
        };
        self.jobs.push_back(Job { accession, tests, stage, attempts: 0, repeated: false });
    }

    // Takes one step with a job; on an error of the line the job goes back to the front of the queue first.
    async fn advance<S: Wire>(&mut self, mut job: Job, line: &mut Line<S>) -> io::Result<()> {
        let step = match &job.stage {
            Stage::Query => self.ask(&mut job, line).await,
            Stage::Run => {
                let run = scaled(RUN_SECONDS, self.settings.time_scale);
                let listened = line.listen(run).await;
                self.counts.ignored += line.received.len() as u64;
                line.received.clear();
                listened.map(|()| self.measure(&mut job))
            }
            Stage::Send { records, .. } => {
                let sent = line.send(records, self.packing()).await;
                let failed = matches!(sent, Ok(Sent::Unanswered | Sent::Refused | Sent::Interrupted));
                let rested = if failed { line.listen(scaled(5.0, self.settings.time_scale)).await } else { Ok(()) };
                rested.and(sent).map(|outcome| self.sent(&mut job, outcome))
            }
        };
        match step {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.jobs.push_front(job);
                Ok(())
            }
            Err(error) => {
                job.attempts += 1;
                if job.attempts < SEND_ATTEMPTS_MAX {
                    self.jobs.push_front(job);
                } else {
                    self.counts.abandoned += 1;
                }
                Err(error)
            }
        }
    }

    fn packing(&self) -> Packing {
        match self.settings.flavour {
            Flavour::Sysmex => Packing::RecordPerFrame,
            Flavour::Roche => Packing::Packed,
        }
    }

    // True when the job is over.
    async fn ask<S: Wire>(&mut self, job: &mut Job, line: &mut Line<S>) -> io::Result<bool> {
        line.received.clear();
        let records = query(&job.accession, self.settings.clock.now());
        if line.send(&records, Packing::Packed).await? == Sent::Delivered {
            line.listen(scaled(15.0, self.settings.time_scale).max(QUERY_WAIT_MIN)).await?;
        }
        if let Some(answer) = line.received.pop_front() {
            let codes = ordered_codes(&answer, &job.accession);
            let offered = self.settings.tests.iter();
            job.tests = offered.filter(|assay| codes.iter().any(|code| bare_code(&assay.code) == code)).map(|assay| assay.loinc.clone()).collect();
            if job.tests.is_empty() {
                self.counts.no_order += 1;
                return Ok(true);
            }
            job.stage = Stage::Run;
            job.attempts = 0;
            return Ok(false);
        }
        job.attempts += 1;
        if job.attempts >= QUERY_ATTEMPTS_MAX {
            self.counts.abandoned += 1;
            return Ok(true);
        }
        Ok(false)
    }

    fn measure(&mut self, job: &mut Job) -> bool {
        let offered = self.settings.tests.iter().filter(|assay| job.tests.contains(&assay.loinc));
        let measured: Vec<Measurement> = offered.map(|assay| measure(assay, &mut self.settings.random)).collect();
        if measured.is_empty() {
            self.counts.ignored += 1;
            return true;
        }
        let now = self.settings.clock.now();
        let records = results(self.settings.flavour, &job.accession, &measured, now, now);
        self.counts.sent += 1;
        job.stage = Stage::Send { measured, measured_at: now, records };
        false
    }

    // True when the job is over.
    fn sent(&mut self, job: &mut Job, outcome: Sent) -> bool {
        let Stage::Send { measured, measured_at, .. } = &job.stage else {
            return false;
        };
        if outcome != Sent::Delivered {
            job.attempts += 1;
            if job.attempts < SEND_ATTEMPTS_MAX {
                self.counts.resends += 1;
                return false;
            }
            self.counts.abandoned += u64::from(!job.repeated);
            return true;
        }
        if job.repeated {
            return true;
        }
        self.counts.acknowledged += 1;
        self.counts.results += measured.len() as u64;
        if !self.settings.random.chance(OPERATOR_RESEND_PER_MILLE) || job.repeated {
            return true;
        }
        // The operator presses "send again": same values and result times, new time in the header where there is one.
        self.counts.resends += 1;
        self.counts.noise += 1;
        let later = self.settings.clock.now().plus_seconds(1);
        let records = results(self.settings.flavour, &job.accession, measured, *measured_at, later);
        job.stage = Stage::Send { measured: measured.clone(), measured_at: *measured_at, records };
        job.attempts = 0;
        job.repeated = true;
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::pty::open_far_end;
    use super::*;

    fn settings(flavour: Flavour, noise: LineNoise, seed: u64) -> AstmSettings {
        let assay = |loinc: &str, code: &str| Assay { loinc: loinc.into(), code: code.into(), unit: "g/L".into(), low: 1.0, high: 2.0, decimals: 1 };
        AstmSettings { flavour, tests: vec![assay("3016-3", "10"), assay("2276-4", "20")], time_scale: 0.02, noise, clock: Clock::skewed(516), random: Random::new(seed) }
    }

    fn order(accession: &str) -> Vec<String> {
        [r"H|\^&|||host", "P|1", &format!("O|1|{accession}||^^^20/1/not\\^^^99|R"), "L|1|N"].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn queries_and_runs_only_what_is_ordered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (commands, inbox) = mpsc::channel(8);
        let (_stop, stopped) = watch::channel(false);
        let noise = LineNoise { split_write: 300, lost_ack: 200, corrupt_frame: 50, ..LineNoise::default() };
        let analyzer = tokio::spawn(AstmAnalyzer::new(settings(Flavour::Roche, noise, 3)).run_tcp(address, inbox, stopped));
        for accession in ["A1", "A2"] {
            let tube = AnalyzerCommand::Tube { accession: accession.into(), tests: vec![] };
            commands.send(tube).await.unwrap();
        }
        drop(commands);
        let (stream, _) = listener.accept().await.unwrap();
        let mut host = Line::new(stream, Timing::scaled(0.1), LineNoise::default(), Random::new(1));
        let mut results = Vec::new();
        while host.listen(Duration::from_secs(20)).await.is_ok() {
            while let Some(message) = host.received.pop_front() {
                match message.iter().find(|record| record.starts_with('Q')) {
                    Some(q) if q.contains("^A1|") => {
                        host.send(&order("A1"), Packing::RecordPerFrame).await.unwrap();
                    }
                    Some(_) => {
                        let none = [r"H|\^&|||host", "L|1|I"].map(str::to_owned);
                        host.send(&none, Packing::RecordPerFrame).await.unwrap();
                    }
                    None => results.push(message),
                }
            }
        }
        let counts = analyzer.await.unwrap();
        assert_eq!((counts.given, counts.acknowledged, counts.results, counts.no_order), (2, 1, 1, 1), "{counts}");
        assert!(results[0].iter().any(|record| record.starts_with("R|1|^^^20/1/not|")));
        assert!(!results[0].iter().any(|record| record.contains("^^^10/")));
    }

    #[tokio::test]
    async fn a_pulled_cable_loses_no_tube() {
        let link = std::env::temp_dir().join(format!("sim-xn-{}", std::process::id()));
        let pty = Pty::open(&link).unwrap();
        let (commands, inbox) = mpsc::channel(8);
        let (_stop, stopped) = watch::channel(false);
        let analyzer = AstmAnalyzer::new(settings(Flavour::Sysmex, LineNoise::usual(), 11));
        let running = tokio::spawn(analyzer.run_serial(pty, inbox, stopped));
        for number in 0..6 {
            let tube = AnalyzerCommand::Tube { accession: format!("A{number}"), tests: vec!["3016-3".into()] };
            commands.send(tube).await.unwrap();
            if number == 2 {
                commands.send(AnalyzerCommand::Unplug(Duration::from_millis(300))).await.unwrap();
            }
        }
        drop(commands);
        let host = tokio::spawn(host_on(link));
        let counts = running.await.unwrap();
        let mut seen = host.await.unwrap();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, ["A0", "A1", "A2", "A3", "A4", "A5"]);
        assert_eq!((counts.given, counts.acknowledged, counts.abandoned, counts.reconnects), (6, 6, 0, 1), "{counts}");
    }

    #[tokio::test]
    async fn bids_to_a_closed_port_leave_no_stale_answers() {
        let link = std::env::temp_dir().join(format!("sim-xn-closed-{}", std::process::id()));
        let pty = Pty::open(&link).unwrap();
        let (commands, inbox) = mpsc::channel(8);
        let (_stop, stopped) = watch::channel(false);
        let analyzer = AstmAnalyzer::new(settings(Flavour::Sysmex, LineNoise::default(), 1));
        let running = tokio::spawn(analyzer.run_serial(pty, inbox, stopped));
        let tests = vec!["3016-3".to_owned()];
        commands.send(AnalyzerCommand::Tube { accession: "A1".into(), tests }).await.unwrap();
        drop(commands);
        sleep(Duration::from_millis(1_500)).await;
        let host = tokio::spawn(host_on(link));
        let counts = running.await.unwrap();
        assert_eq!(host.await.unwrap(), ["A1"]);
        assert!(counts.timeouts >= 2 && counts.naks == 0 && counts.acknowledged == 1, "{counts}");
    }

    /// A daemon on the slave side: opens the port again whenever it is lost, ends when it stays away.
    async fn host_on(link: std::path::PathBuf) -> Vec<String> {
        let mut seen = Vec::new();
        let mut missing = 0;
        while missing < 60 {
            let Ok(port) = open_far_end(&link) else {
                missing += 1;
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            missing = 0;
            let mut host = Line::new(port, Timing::scaled(0.1), LineNoise::default(), Random::new(1));
            loop {
                let listened = host.listen(Duration::from_secs(5)).await;
                for message in host.received.drain(..) {
                    let order = message.iter().find(|record| record.starts_with('O')).cloned();
                    let sample = order.unwrap_or_default().split('^').nth(2).map(str::trim).map(str::to_owned);
                    seen.extend(sample);
                }
                if listened.is_err() {
                    break;
                }
            }
        }
        seen
    }
}
