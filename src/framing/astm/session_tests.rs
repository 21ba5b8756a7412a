//! Tests of the line: every clause of the standard's state diagram, every split, every lost answer.

use super::*;
use crate::framing::astm::{Assembled, Assembler};

const MESSAGE: &[u8] =
    b"H|\\^&|||XN-550\rP|1\rO|1|26112100017\rR|1|^^^^WBC|5.8|10*3/uL\rR|2|^^^^RBC|4.9|10*6/uL\rR|3|^^^^HGB|14\rR|4|^^^^PLT|200\rR|5|^^^^MCV|88\rR|6|^^^^MCH|30\rL|1|N\r";

fn at(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// A host that accepts every frame at once and collects messages.
struct Host {
    session: Session,
    assembler: Assembler,
    messages: Vec<Bytes>,
    fragments: Vec<Bytes>,
    notices: Vec<Notice>,
    written: Vec<u8>,
}

impl Host {
    fn new(settings: Settings) -> Self {
        Self { session: Session::new(settings), assembler: Assembler::new(1 << 20), messages: vec![], fragments: vec![], notices: vec![], written: vec![] }
    }

    fn receive(&mut self, bytes: &[u8], now: Tick) {
        self.session.receive(bytes, now);
        self.work(now);
    }

    fn keep(&mut self, assembled: impl IntoIterator<Item = Assembled>) {
        for assembled in assembled {
            match assembled {
                Assembled::Message(message) => self.messages.push(message),
                Assembled::Fragment(fragment) | Assembled::TooLarge(fragment) => self.fragments.push(fragment),
            }
        }
    }

    fn work(&mut self, now: Tick) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Transmit(bytes) => self.written.extend(bytes),
                Output::Frame { text, is_last } => {
                    let assembled = self.assembler.push(&text, is_last);
                    self.keep(assembled);
                    self.session.verdict(Verdict::Accept, now);
                }
                Output::End | Output::Silence => {
                    let rest = self.assembler.finish();
                    self.keep(rest);
                }
                Output::Noticed(notice) => self.notices.push(notice),
                Output::Sent(_) | Output::Failed(..) => {}
            }
        }
    }

    fn answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }
}

fn frames() -> Vec<Vec<u8>> {
    sender::frames(MESSAGE, 240, Checksum::Standard)
}

fn transmission() -> Vec<u8> {
    let mut bytes = vec![ENQ];
    bytes.extend(frames().concat());
    bytes.push(EOT);
    bytes
}

#[test]
fn rule_2_every_split_gives_the_same_message() {
    let stream = transmission();
    for size in 1..=stream.len() {
        let mut host = Host::new(Settings::default());
        stream.chunks(size).for_each(|piece| host.receive(piece, at(0)));
        assert_eq!(host.messages, [MESSAGE], "pieces of {size}");
        assert_eq!(host.answers(), vec![ACK; 1 + frames().len()], "pieces of {size}");
    }
}

#[test]
fn rule_3_one_lost_ack_at_each_position_changes_nothing() {
    for lost in 0..frames().len() {
        let mut host = Host::new(Settings::default());
        host.receive(&[ENQ], at(0));
        for (index, frame) in frames().iter().enumerate() {
            host.receive(frame, at(1));
            if index == lost {
                host.receive(frame, at(2));
                assert_eq!(host.notices, [Notice::Repeated]);
            }
        }
        host.receive(&[EOT], at(3));
        assert_eq!(host.messages, [MESSAGE], "ACK {lost} lost");
        assert_eq!(host.answers(), vec![ACK; frames().len() + 2]);
    }
}

#[test]
fn rule_3_numbers_out_of_order_are_refused_and_the_first_is_1() {
    let mut host = Host::new(Settings::default());
    host.receive(&[ENQ], at(0));
    host.receive(&frames()[1], at(0));
    assert_eq!(host.answers(), [ACK, NAK]);
    host.receive(&frames()[0], at(0));
    host.receive(&frames()[2], at(0));
    assert_eq!(host.answers(), [ACK, NAK]);
    assert_eq!(host.notices, [Notice::Bad(BadFrame::Number), Notice::Bad(BadFrame::Number)]);
    let same_number_other_text = sender::frames(b"H|other\r", 240, Checksum::Standard);
    host.receive(&same_number_other_text[0], at(0));
    assert_eq!(host.answers(), [NAK], "the same number with another text is no repetition");
}

#[test]
fn rule_3_a_profile_may_let_a_device_restart_its_numbers() {
    let mut host = Host::new(Settings { frame_numbers: FrameNumbers::Restarting, ..Settings::default() });
    host.receive(&[ENQ], at(0));
    host.receive(&frames()[0], at(0));
    host.receive(&frames()[1], at(0));
    let again = sender::frames(b"O|1\r", 240, Checksum::Standard);
    host.receive(&again[0], at(0));
    assert_eq!(host.answers(), [ACK; 4]);
}

#[test]
fn a_bad_checksum_is_refused_and_the_repetition_taken() {
    let mut host = Host::new(Settings::default());
    host.receive(&[ENQ], at(0));
    for frame in frames() {
        let mut corrupt = frame.clone();
        corrupt[3] ^= 1;
        host.receive(&corrupt, at(0));
        host.receive(&frame, at(0));
    }
    host.receive(&[EOT], at(0));
    assert_eq!(host.messages, [MESSAGE]);
    assert_eq!(host.notices, vec![Notice::Bad(BadFrame::Checksum); frames().len()]);
}

#[test]
fn rule_5_frames_far_above_240_characters_are_taken_up_to_the_profile_s_limit() {
    let long = [b"H|".as_slice(), &vec![b'x'; 26_000], b"\rL|1\r"].concat();
    let frames = sender::frames(&long, 64_000, Checksum::Standard);
    let mut host = Host::new(Settings::default());
    host.receive(&[ENQ], at(0));
    frames.iter().for_each(|frame| host.receive(frame, at(0)));
    assert_eq!(host.messages, std::slice::from_ref(&long));
    let mut host = Host::new(Settings { frame_limit: 1_000, ..Settings::default() });
    host.receive(&[ENQ], at(0));
    frames[0].chunks(500).for_each(|piece| host.receive(piece, at(0)));
    assert_eq!(host.answers(), [ACK, NAK]);
    assert_eq!(host.notices, [Notice::Bad(BadFrame::TooLong)]);
}

#[test]
fn a_refused_verdict_makes_the_device_repeat() {
    let mut session = Session::new(Settings::default());
    session.receive(&[ENQ], at(0));
    assert_eq!(session.poll(), Some(Output::Transmit(vec![ACK])));
    let frame = &frames()[0];
    session.receive(frame, at(0));
    assert!(matches!(session.poll(), Some(Output::Frame { is_last: true, .. })));
    assert_eq!(session.deadline(), None, "while the owner judges, no timer runs");
    session.verdict(Verdict::Refuse, at(0));
    assert_eq!(session.poll(), Some(Output::Transmit(vec![NAK])));
    session.receive(frame, at(0));
    assert!(matches!(session.poll(), Some(Output::Frame { .. })), "a refused frame is new again");
}

#[test]
fn a_host_that_cannot_store_refuses_the_bid() {
    let mut host = Host::new(Settings::default());
    host.session.set_ready(false);
    host.receive(&[ENQ], at(0));
    assert_eq!(host.answers(), [NAK]);
    host.session.set_ready(true);
    host.receive(&[ENQ], at(0));
    assert_eq!(host.answers(), [ACK]);
}

#[test]
fn silence_of_thirty_seconds_ends_a_transmission_as_a_fragment() {
    let mut host = Host::new(Settings::default());
    host.receive(&[ENQ], at(0));
    host.receive(&frames()[0], at(0));
    assert_eq!(host.session.deadline(), Some(at(30_000)));
    host.session.timeout(at(29_999));
    host.work(at(29_999));
    assert!(host.fragments.is_empty());
    host.session.timeout(at(30_000));
    host.work(at(30_000));
    assert_eq!(host.fragments, [&b"H|\\^&|||XN-550\r"[..]]);
    host.answers();
    host.receive(&transmission(), at(31_000));
    assert_eq!(host.messages, [MESSAGE]);
}

#[test]
fn rule_18_eot_alone_is_a_heartbeat_and_garbage_between_transmissions_is_counted() {
    let mut host = Host::new(Settings::default());
    host.receive(&[EOT, b'x', b'\r', b'\n'], at(0));
    host.receive(&transmission(), at(0));
    host.receive(b"\xff\xfe", at(0));
    host.receive(&transmission(), at(0));
    assert_eq!(host.messages, [MESSAGE, MESSAGE]);
    assert_eq!(host.notices, [Notice::Heartbeat, Notice::Garbage, Notice::Garbage, Notice::Garbage]);
}

#[test]
fn a_doubled_enq_is_answered_again_and_a_new_enq_ends_the_transmission() {
    let mut host = Host::new(Settings::default());
    host.receive(&[ENQ, ENQ], at(0));
    host.receive(&frames()[0], at(0));
    host.receive(&transmission(), at(0));
    assert_eq!(host.messages, [MESSAGE]);
    assert_eq!(host.fragments.len(), 1);
    assert_eq!(host.notices, [Notice::DoubledEnq]);
}

#[test]
fn a_control_character_inside_a_frame_spoils_it_unless_silence_follows() {
    let mut host = Host::new(Settings::default());
    host.receive(&[ENQ], at(0));
    let mut noisy = frames()[0].clone();
    noisy[4] = ENQ;
    host.receive(&noisy, at(0));
    assert_eq!(host.answers(), [ACK, NAK]);
    host.receive(&frames()[0], at(0));
    assert_eq!(host.answers(), [ACK]);
    host.receive(&[STX, b'2', b'P', EOT], at(100));
    assert_eq!(host.session.deadline(), Some(at(1_100)));
    host.session.timeout(at(1_100));
    host.work(at(1_100));
    assert_eq!(host.fragments.len(), 1, "the device gave up inside a frame");
    host.receive(&transmission(), at(1_200));
    assert_eq!(host.messages, [MESSAGE]);
}

#[test]
fn a_device_without_enq_is_a_profile_s_quirk() {
    let mut host = Host::new(Settings { sends_enq: false, ..Settings::default() });
    host.receive(&frames().concat(), at(0));
    host.receive(&[EOT], at(0));
    assert_eq!(host.messages, [MESSAGE]);
}

#[test]
fn an_interrupt_answers_a_good_frame_with_eot() {
    let mut host = Host::new(Settings::default());
    host.receive(&[ENQ], at(0));
    host.session.request_interrupt();
    host.receive(&frames()[0], at(0));
    host.receive(&frames()[1], at(0));
    assert_eq!(host.answers(), [ACK, EOT, ACK]);
}

/// Runs a sender against scripted answers; gives what it wrote and how it ended.
fn send(answers: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<Output>) {
    let mut session = Session::new(Settings::default());
    assert!(session.send(7, b"H|\\^&\rL|1|N\r", at(0)));
    let mut written = vec![];
    let mut ends = vec![];
    let mut drain = |session: &mut Session| {
        while let Some(output) = session.poll() {
            match output {
                Output::Transmit(bytes) => written.push(bytes),
                other => ends.push(other),
            }
        }
    };
    drain(&mut session);
    for answer in answers {
        if answer.is_empty() {
            let deadline = session.deadline().unwrap();
            session.timeout(deadline);
        } else {
            session.receive(answer, at(1));
        }
        drain(&mut session);
    }
    (written, ends)
}

#[test]
fn a_sender_bids_sends_and_ends() {
    let frames = sender::frames(b"H|\\^&\rL|1|N\r", 240, Checksum::Standard);
    let (written, ends) = send(&[&[ACK], &[ACK], &[ACK]]);
    assert_eq!(written, [vec![ENQ], frames[0].clone(), frames[1].clone(), vec![EOT]]);
    assert_eq!(ends, [Output::Sent(7)]);
}

#[test]
fn a_refused_frame_is_sent_six_times_in_all() {
    let (written, ends) = send(&[&[ACK], &[NAK], b"?", &[NAK], &[NAK], &[NAK], &[NAK]]);
    let frame = written[1].clone();
    assert_eq!(written.iter().filter(|bytes| **bytes == frame).count(), 6);
    assert_eq!(written.last().unwrap(), &[EOT]);
    assert_eq!(ends.last(), Some(&Output::Failed(7, SendFailure::Refused)));
}

#[test]
fn no_answer_for_fifteen_seconds_ends_with_eot() {
    let (written, ends) = send(&[&[]]);
    assert_eq!(written, [vec![ENQ], vec![EOT]]);
    assert_eq!(ends, [Output::Failed(7, SendFailure::NoAnswer)]);
    let (written, ends) = send(&[&[ACK], &[]]);
    assert_eq!(written.len(), 3);
    assert_eq!(ends, [Output::Failed(7, SendFailure::NoAnswer)]);
}

#[test]
fn a_refused_bid_waits_ten_seconds_and_contention_twenty() {
    for (answer, notice, pause) in [(NAK, Notice::BidRefused, 10_000), (ENQ, Notice::Contention, 20_000)] {
        let mut session = Session::new(Settings::default());
        session.send(1, b"H|\rL|1\r", at(0));
        session.poll();
        session.receive(&[answer], at(5));
        assert_eq!(session.poll(), Some(Output::Noticed(notice)));
        assert_eq!(session.deadline(), Some(at(5 + pause)));
        // The instrument bids again after a second and wins.
        session.receive(&[ENQ], at(1_000));
        assert_eq!(session.poll(), Some(Output::Transmit(vec![ACK])));
        session.receive(&[EOT], at(2_000));
        assert_eq!(session.poll(), Some(Output::End));
        assert_eq!(session.poll(), None, "the pause still holds");
        session.timeout(at(5 + pause));
        assert_eq!(session.poll(), Some(Output::Transmit(vec![ENQ])));
    }
}

#[test]
fn an_interrupt_by_the_receiver_stops_the_sender_for_fifteen_seconds() {
    let (written, ends) = send(&[&[ACK], &[EOT]]);
    assert_eq!(written.last().unwrap(), &[EOT]);
    assert_eq!(ends, [Output::Failed(7, SendFailure::Interrupted)]);
    let (_, ends) = send(&[&[ACK], &[ACK], &[EOT]]);
    assert_eq!(ends, [Output::Sent(7)], "after the last frame it counts as ACK");
}

#[test]
fn our_sender_and_our_receiver_agree_over_every_frame_size() {
    for text_limit in 1..80 {
        let mut device = Session::new(Settings { text_limit, ..Settings::default() });
        let mut host = Host::new(Settings::default());
        device.send(1, MESSAGE, at(0));
        for _ in 0..2_000 {
            match device.poll() {
                Some(Output::Transmit(bytes)) => {
                    host.receive(&bytes, at(0));
                    device.receive(&host.answers(), at(0));
                }
                Some(Output::Sent(1)) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(host.messages, [MESSAGE], "frames of {text_limit}");
    }
}
