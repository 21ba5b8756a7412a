//! The fields of a profile. Each has a sentence and a default; `wardctl profile explain` prints them.

use serde::Deserialize;

use super::Pattern;
use crate::kernel::{Loinc, Unit, limits};

/// One kind of device.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `maker/model`, as in the path of the file.
    pub id: String,
    /// The profile's own version; a device is pinned to one, and a change is a new number.
    pub version: u32,
    /// What the device is, for people.
    pub name: String,
    /// What it does in the hospital.
    pub kind: Kind,
    /// Where the facts come from: document and page, or "captured at site".
    pub cites: Vec<String>,
    /// How it is connected when the configuration does not say.
    #[serde(default)]
    pub serial: Serial,
    /// How bytes become frames.
    pub framing: Framing,
    /// How frames become messages, and where things stand in them.
    pub codec: Codec,
    /// How the device names itself.
    #[serde(default)]
    pub identity: Identity,
    /// What its clock is worth.
    #[serde(default)]
    pub time: Time,
    /// What is normal for it.
    #[serde(default)]
    pub expect: Expect,
    /// Codes that are no results (flags, images, indices) and are passed over; a `*` at the end stands for anything.
    #[serde(default)]
    pub passed: Vec<String>,
    /// Its test codes.
    #[serde(default)]
    pub tests: Vec<Test>,
}

/// What a device does in the hospital.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Measures specimens.
    Analyzer,
    /// Reads barcodes.
    Scanner,
    /// Reads radio tags.
    Rfid,
    /// Keeps drugs in drawers.
    Cabinet,
    /// Another system that sends messages.
    Feed,
    /// Measures vital signs at the bedside.
    Monitor,
}

/// Parameters of a serial line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serial {
    /// Bits a second.
    pub baud: u32,
    /// 7 or 8.
    pub data_bits: u8,
    /// Parity of each character.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
    /// Flow control.
    pub flow: Flow,
}

impl Default for Serial {
    fn default() -> Self {
        Self { baud: 9_600, data_bits: 8, parity: Parity::None, stop_bits: 1, flow: Flow::None }
    }
}

/// Parity of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parity {
    /// No parity bit.
    None,
    /// An even number of ones.
    Even,
    /// An odd number of ones.
    Odd,
}

/// Flow control of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// None.
    None,
    /// XON and XOFF.
    Software,
    /// RTS and CTS.
    Hardware,
}

/// How bytes become frames.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Framing {
    /// ASTM E1381 / LIS1-A.
    Astm {
        /// Which bytes the checksum covers: `standard`, `etb-left-out`, `end-left-out`, `absent`.
        #[serde(default = "standard")]
        checksum: String,
        /// How frame numbers are judged: `standard`, `restarting`, `any`.
        #[serde(default = "standard")]
        frame_numbers: String,
        /// Whether the device bids with ENQ.
        #[serde(default = "yes")]
        sends_enq: bool,
        /// Longest frame that is taken, in bytes.
        #[serde(default = "frame_limit")]
        frame_limit: usize,
        /// Longest text of a frame that is sent to it, in bytes.
        #[serde(default = "text_limit")]
        text_limit: usize,
    },
    /// MLLP.
    Mllp,
    /// Lines.
    Line {
        /// What ends one: `cr-or-lf`, `cr`, `stx-etx`.
        #[serde(default = "cr_or_lf")]
        ending: String,
        /// Whether each line is answered with ACK or NAK.
        #[serde(default)]
        answers: bool,
    },
    /// One MQTT message is one frame.
    Mqtt {
        /// The topic that the device publishes to; `{device}` stands for its name.
        events: String,
        /// The topic that it takes commands from, where it takes any.
        #[serde(default)]
        commands: Option<String>,
    },
}

fn standard() -> String {
    "standard".to_owned()
}

fn cr_or_lf() -> String {
    "cr-or-lf".to_owned()
}

fn yes() -> bool {
    true
}

fn frame_limit() -> usize {
    crate::kernel::limits::ASTM_FRAME_BYTES
}

fn text_limit() -> usize {
    240
}

/// How frames become messages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Codec {
    /// LIS2-A2 records.
    Lis2(Lis2),
    /// HL7 v2 messages.
    Hl7(Hl7),
    /// What a barcode scanner reads.
    Scan,
    /// JSON of an RFID reader: `epc`, `antenna`, `seen`.
    RfidJson,
    /// JSON of a cabinet's drawers: `event`, `drawer`, `command_id`.
    DrawerJson,
    /// JSON of a bedside device: `patient` or `bed`, `time`, `readings`, `fluids`.
    VitalsJson,
    /// Words of a relay board: `OK`, `CLOSED`, `JAM`, each with drawer and command.
    RelayWords,
}

/// Where things stand in LIS2-A2 records; fields and components count from 1, as in `O.4.3`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lis2 {
    /// Where the specimen is named; the first that holds something counts.
    pub sample_id: Vec<String>,
    /// Marks of a specimen that the device could not identify; a `*` at the end stands for anything.
    pub unknown_sample: Vec<String>,
    /// Where the test code stands; the first that holds something counts.
    pub code: Vec<String>,
    /// The code ends before this character.
    pub code_ends_at: String,
    /// Where the kind of a result stands (`F`, `I`, `P` on some devices); empty when there is none.
    pub result_kind: String,
    /// The kinds that are filed.
    pub filed_kinds: Vec<String>,
    /// Where the value stands, when R.4 has components; a value without components is taken whole.
    pub value: Vec<String>,
    /// Result statuses (R.9) that are filed; others are held.
    pub filed_statuses: Vec<String>,
    /// What marks training and debugging (H.12 T and D); held, since it is no patient's.
    pub training: Vec<Mark>,
    /// Values that mean "not measured".
    pub failure_words: Vec<String>,
    /// What marks a control.
    pub control: Vec<Mark>,
    /// What the device asks for: whether it queries for orders.
    pub queries: bool,
    /// The L record's code when a query has no orders: `I` or `Q`.
    pub no_orders: String,
    /// How an order is written to it: where the code stands in O.5, as the number of components before it.
    pub order_code_components: usize,
}

impl Default for Lis2 {
    fn default() -> Self {
        Self {
            sample_id: vec!["O.3.1".to_owned(), "O.4.1".to_owned()],
            unknown_sample: vec![],
            code: vec!["R.3.4".to_owned()],
            code_ends_at: String::new(),
            result_kind: String::new(),
            filed_kinds: vec![],
            value: vec!["R.4.1".to_owned()],
            filed_statuses: ["F", "C", "R", "V", "P", ""].map(str::to_owned).to_vec(),
            training: vec![training("H.12.1")],
            failure_words: words(),
            control: vec![
                Mark { at: "O.12.1".to_owned(), equals: vec!["Q".to_owned()], begins: vec![] },
                Mark { at: "H.12.1".to_owned(), equals: vec!["Q".to_owned()], begins: vec![] },
            ],
            queries: false,
            no_orders: "I".to_owned(),
            order_code_components: 3,
        }
    }
}

/// Where things stand in HL7 v2 messages, as in `OBR-3.1`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hl7 {
    /// Where the specimen is named; the first that holds something counts.
    pub sample_id: Vec<String>,
    /// The component of OBX-3 that holds the test code.
    pub code_component: u16,
    /// Whether OBX-3.1 is taken as LOINC where OBX-3.3 says `LN`, with OBX-6 as its unit.
    pub codes_are_loinc: bool,
    /// Values that mean "not measured".
    pub failure_words: Vec<String>,
    /// Result statuses (OBX-11) that are filed.
    pub filed_statuses: Vec<String>,
    /// OBX value types (OBX-2) that are passed over, such as images.
    pub passed_types: Vec<String>,
    /// What marks a control.
    pub control: Vec<Mark>,
    /// What marks training and debugging (MSH-11 T and D); held, since it is no patient's.
    pub training: Vec<Mark>,
    /// How messages are acknowledged.
    pub acknowledgement: Acknowledgement,
}

impl Default for Hl7 {
    fn default() -> Self {
        Self {
            sample_id: vec!["SPM-2.1".to_owned(), "OBR-3.1".to_owned(), "OBR-2.1".to_owned()],
            code_component: 1,
            codes_are_loinc: false,
            failure_words: words(),
            filed_statuses: ["F", "C", "P", ""].map(str::to_owned).to_vec(),
            passed_types: ["ED", "IS"].map(str::to_owned).to_vec(),
            control: vec![
                Mark { at: "SPM-11.1".to_owned(), equals: vec!["Q".to_owned()], begins: vec![] },
                Mark { at: "MSH-11.1".to_owned(), equals: vec!["Q".to_owned()], begins: vec![] },
            ],
            training: vec![training("MSH-11.1")],
            acknowledgement: Acknowledgement::Original,
        }
    }
}

fn training(at: &str) -> Mark {
    Mark { at: at.to_owned(), equals: vec!["T".to_owned(), "D".to_owned()], begins: vec![] }
}

/// Whether a word is one of a list whose entries may end in `*`.
pub fn is_listed(list: &[String], word: &str) -> bool {
    list.iter().any(|entry| match entry.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => entry == word,
    })
}

fn words() -> Vec<String> {
    ["ERROR", "INVALID", "NO RESULT", "NA", "N/A", "---", "----", "*****"].map(str::to_owned).to_vec()
}

/// A mark at a place: one of these values, or one of these beginnings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The place.
    pub at: String,
    /// The whole value.
    #[serde(default)]
    pub equals: Vec<String>,
    /// How the value begins.
    #[serde(default)]
    pub begins: Vec<String>,
}

impl Mark {
    /// Whether a value bears the mark.
    pub fn is_borne_by(&self, value: &str) -> bool {
        self.equals.iter().any(|word| word == value) || self.begins.iter().any(|start| !start.is_empty() && value.starts_with(start))
    }
}

/// How HL7 messages are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acknowledgement {
    /// One application acknowledgement (AA, AE, AR) after handling.
    Original,
    /// As MSH-15 and MSH-16 ask: a commit acknowledgement, an application acknowledgement, or both.
    Enhanced,
}

/// How the device names itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// A regular expression that H.5 (or MSH-3) must match; absent for any name, since the link names the device first.
    pub sender: Option<Pattern>,
    /// The assigning authority (CX.4.1) whose record numbers this house uses; absent: every record number is taken for ours.
    pub authority: Option<String>,
}

/// What the device's clock is worth.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// Minutes that its local time is ahead of UTC, where a message does not say.
    pub offset_minutes: i32,
}

/// What is normal for the device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Minutes of silence before a warning; 0 for never. A link is not closed for it.
    pub silence_minutes: u32,
    /// Seconds that its clock may differ before a warning.
    pub skew_seconds: u32,
    /// Bad frames of the last thousand above which its results wait for a person; 0 for never.
    pub bad_frames: u32,
}

impl Default for Expect {
    fn default() -> Self {
        Self { silence_minutes: 0, skew_seconds: 300, bad_frames: limits::BAD_FRAMES }
    }
}

/// One of the device's test codes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The device's code.
    pub code: String,
    /// What it measures.
    pub loinc: Loinc,
    /// The unit in UCUM; none for words and ratios.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// The device's own spellings of that unit.
    #[serde(default)]
    pub spellings: Vec<String>,
    /// Whether the device sends no unit with this test.
    #[serde(default)]
    pub unit_is_silent: bool,
    /// Where the mapping comes from, when it is not the profile's own source.
    #[serde(default)]
    pub cite: Option<String>,
}

impl Identity {
    /// What a sender should have called itself, when this is not it.
    pub fn contradicts(&self, sender: &str) -> Option<&str> {
        self.sender.as_ref().filter(|pattern| !pattern.matches(sender)).map(Pattern::as_str)
    }
}

impl Profile {
    /// Reads a profile; the error names line, column and the allowed words.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }

    /// The test of a device's code.
    pub fn test(&self, code: &str) -> Option<&Test> {
        self.tests.iter().find(|test| test.code == code)
    }
}
