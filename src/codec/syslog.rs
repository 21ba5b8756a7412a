//! Audit messages for a collector: DICOM PS3.15 A.5 in RFC 5424, framed by octet counting as RFC 5425 has it (IHE ATNA, ITI-20).

use std::fmt::Write;

use crate::kernel::Timestamp;

/// What happened, for an auditor elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditMessage {
    /// The event in the log: a message that is sent again has the same.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// The house's code.
    pub facility: String,
    /// Who: `person:NAME`, `program:NAME`.
    pub who: String,
    /// A second person.
    pub witness: Option<String>,
    /// Where they were.
    pub place: Option<String>,
    /// The event's type.
    pub what: String,
    /// The stream that it is about.
    pub of: String,
    /// Whose records.
    pub patients: Vec<String>,
    /// Whether they were refused.
    pub is_refused: bool,
}

/// Facility 10 (security and authorisation), severity 5 (notice): IHE ITI TF-2, 3.20.
const PRIORITY: u8 = 85;

/// A text inside of XML: what XML cannot hold is left out.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

impl AuditMessage {
    /// The kind of event (DICOM PS3.16, CID 400) and what is done (C, R, U, E).
    fn kind(&self) -> (&'static str, &'static str, &'static str) {
        match self.what.as_str() {
            "RecordShown" | "LookRefused" | "LookTold" => ("110110", "Patient Record", "R"),
            "SignedIn" | "SignedOut" | "SignInFailed" | "StrangerRefused" => ("110114", "User Authentication", "E"),
            "GlassBroken" | "GlassReviewed" => ("110113", "Security Alert", "E"),
            _ if self.of.starts_with("hospital/") => ("110113", "Security Alert", "U"),
            _ => ("110110", "Patient Record", "U"),
        }
    }

    fn xml(&self) -> String {
        let (code, name, action) = self.kind();
        let outcome = if self.is_refused { "4" } else { "0" };
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><AuditMessage><EventIdentification EventActionCode=\"{action}\" EventDateTime=\"{}\" EventOutcomeIndicator=\"{outcome}\"><EventID csd-code=\"{code}\" codeSystemName=\"DCM\" originalText=\"{name}\"/><EventTypeCode csd-code=\"{}\" codeSystemName=\"wardd\" originalText=\"{}\"/></EventIdentification>",
            self.at,
            xml(&self.what),
            xml(&self.what)
        );
        for (user, is_requestor) in std::iter::once((&self.who, true)).chain(self.witness.iter().map(|witness| (witness, false))) {
            let place = self.place.as_ref().map(|place| format!(" NetworkAccessPointID=\"{}\" NetworkAccessPointTypeCode=\"1\"", xml(place))).unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(text, "<ActiveParticipant UserID=\"{}\" UserIsRequestor=\"{is_requestor}\"{place}/>", xml(user));
        }
        let _ = write!(text, "<AuditSourceIdentification AuditSourceID=\"{}\"/>", xml(&self.facility));
        for patient in &self.patients {
            let _ = write!(
                text,
                "<ParticipantObjectIdentification ParticipantObjectID=\"{}\" ParticipantObjectTypeCode=\"1\" ParticipantObjectTypeCodeRole=\"1\"><ParticipantObjectIDTypeCode csd-code=\"2\" codeSystemName=\"RFC-3881\" originalText=\"Patient Number\"/></ParticipantObjectIdentification>",
                xml(patient)
            );
        }
        let _ = write!(
            text,
            "<ParticipantObjectIdentification ParticipantObjectID=\"{}\" ParticipantObjectTypeCode=\"2\"><ParticipantObjectIDTypeCode csd-code=\"stream\" codeSystemName=\"wardd\" originalText=\"event stream\"/></ParticipantObjectIdentification></AuditMessage>",
            xml(&self.of)
        );
        text
    }

    /// The message with its length in front.
    pub fn frame(&self) -> Vec<u8> {
        let host: String = self.facility.chars().filter(char::is_ascii_graphic).take(255).collect();
        let host = if host.is_empty() { "-".to_owned() } else { host };
        let header = format!("<{PRIORITY}>1 {} {host} wardd - IHE+DICOM [meta sequenceId=\"{}\"] ", self.at, self.sequence % 2_147_483_648);
        // The mark says that what follows is UTF-8 (RFC 5424, 6.4).
        let message = [header.as_bytes(), b"\xef\xbb\xbf", self.xml().as_bytes()].concat();
        [format!("{} ", message.len()).as_bytes(), &message].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_counted_in_octets_and_holds_no_markup_of_others() {
        let message = AuditMessage {
            sequence: 7,
            at: "2026-11-21T12:00:00Z".parse().unwrap(),
            facility: "H\u{e4}US".to_owned(),
            who: "person:<ann&\"bob\">\u{7}".to_owned(),
            witness: Some("bea".to_owned()),
            place: Some("S1".to_owned()),
            what: "RecordShown".to_owned(),
            of: "access/ann".to_owned(),
            patients: vec!["77".to_owned(), "78".to_owned()],
            is_refused: false,
        };
        let frame = message.frame();
        let at = frame.iter().position(|byte| *byte == b' ').unwrap();
        let count: usize = std::str::from_utf8(&frame[..at]).unwrap().parse().unwrap();
        assert_eq!(count, frame.len() - at - 1);
        let text = String::from_utf8(frame[at + 1..].to_vec()).unwrap();
        assert!(text.starts_with("<85>1 2026-11-21T12:00:00.000000Z HUS wardd - IHE+DICOM [meta sequenceId=\"7\"] \u{feff}<?xml"), "{text}");
        assert!(text.contains("UserID=\"person:&lt;ann&amp;&quot;bob&quot;&gt;\"") && text.contains("UserID=\"bea\" UserIsRequestor=\"false\""), "{text}");
        assert!(text.contains("csd-code=\"110110\"") && text.matches("Patient Number").count() == 2 && text.contains("EventOutcomeIndicator=\"0\""), "{text}");
        let refused = AuditMessage { what: "LookRefused".to_owned(), is_refused: true, ..message };
        assert!(String::from_utf8(refused.frame()).unwrap().contains("EventOutcomeIndicator=\"4\""));
    }
}
