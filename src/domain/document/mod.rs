//! The bytes of a document: filed once, never changed. What it is and whether it counts stands in the chart.

use serde::{Deserialize, Serialize};

use super::Folded;
use crate::kernel::{Invalid, Mrn, RawBytes, Sealing, StreamKind, Timestamp};

/// Largest document, in bytes: a letter of some scanned pages.
pub const DOCUMENT_BYTES: usize = 4 << 20;

/// The form of a document: what every browser shows, and nothing that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// PDF (ISO 32000).
    Pdf,
    /// JPEG (ISO/IEC 10918-1).
    Jpeg,
    /// PNG (ISO/IEC 15948).
    Png,
}

impl Form {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Form::Pdf => "application/pdf",
            Form::Jpeg => "image/jpeg",
            Form::Png => "image/png",
        }
    }
}

/// The content of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its form.
    pub form: Form,
    /// Its bytes.
    pub bytes: RawBytes,
}

impl Content {
    /// A document of bytes, which say themselves what they are.
    pub fn new(bytes: bytes::Bytes) -> Result<Self, Invalid> {
        if bytes.len() > DOCUMENT_BYTES {
            return Err(Invalid::new("document", "", format!("it has {} bytes, {DOCUMENT_BYTES} at most are kept: scan it in grey, or file it in parts", bytes.len())));
        }
        let form = match bytes.as_ref() {
            [b'%', b'P', b'D', b'F', b'-', ..] => Form::Pdf,
            [0xFF, 0xD8, 0xFF, ..] => Form::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Form::Png,
            _ => return Err(Invalid::new("document", "", "it is neither PDF nor JPEG nor PNG: print it to PDF and file that".to_owned())),
        };
        Ok(Self { form, bytes: RawBytes(bytes) })
    }
}

/// Whose it is; the bytes are read from the log when somebody asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Document {
    /// Whose; nobody's while there is none.
    pub patient: Option<Mrn>,
}

/// What may have happened to a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// It was filed.
    DocumentFiled {
        /// Whose it is.
        patient: Mrn,
        /// What it holds.
        content: Content,
        /// When.
        at: Timestamp,
    },
    /// An event whose key was destroyed.
    Erased {},
}

impl Folded for Document {
    const KIND: StreamKind = StreamKind::Document;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::DocumentFiled { patient, .. } => self.patient = Some(patient.clone()),
            Event::Erased {} => self.patient = None,
        }
    }

    fn name(event: &Event) -> (&'static str, u16) {
        match event {
            Event::DocumentFiled { .. } => ("DocumentFiled", 1),
            Event::Erased {} => ("Erased", 1),
        }
    }

    fn sealing(&self, _: &str, _: &Event) -> Sealing {
        self.patient.clone().map_or(Sealing::House, Sealing::Person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_shows_and_nothing_that_runs_is_a_document() {
        let form = |bytes: &[u8]| Content::new(bytes.to_vec().into()).map(|content| content.form);
        assert_eq!(form(b"%PDF-1.7 rest"), Ok(Form::Pdf));
        assert_eq!(form(&[0xFF, 0xD8, 0xFF, 0xE0]), Ok(Form::Jpeg));
        assert_eq!(form(b"\x89PNG\r\n\x1a\nrest"), Ok(Form::Png));
        for wrong in [b"<html><script>".as_slice(), b"PK\x03\x04", b"", b"%PD"] {
            assert!(form(wrong).unwrap_err().to_string().contains("print it to PDF"), "{wrong:?}");
        }
        let large = [b"%PDF-".to_vec(), vec![0; DOCUMENT_BYTES]].concat();
        assert!(form(&large).unwrap_err().to_string().contains("in parts"));
    }
}
