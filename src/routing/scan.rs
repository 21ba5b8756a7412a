//! What a scanner reads, by where the scanner stands.

use rust_decimal::Decimal;

use super::{Purpose, Routed, Understood};
use crate::codec::gs1::{self, ElementString, Scan};
use crate::domain::quarantine::Reason;
use crate::kernel::{CabinetId, Gtin, Timestamp};

/// Longest code that means something here.
const CODE_MAX: usize = 200;

/// What a scan asks for. `now` decides the century of expiry dates.
pub fn understand(purpose: &Purpose, text: &[u8], now: Timestamp) -> Understood {
    let item = match std::str::from_utf8(text) {
        Ok(text) if text.len() <= CODE_MAX && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == 0x1D) => read(purpose, text, now),
        // A barcode can carry control characters that reprogram what reads it; none of ours does.
        _ => Routed::Hold(Reason::Invalid { detail: "the code holds characters that no label of ours has, or is too long".to_owned() }),
    };
    Understood { items: vec![item], control_id: String::new(), device_time: None }
}

fn read(purpose: &Purpose, text: &str, now: Timestamp) -> Routed {
    let hold = |detail: String| Routed::Hold(Reason::Invalid { detail });
    match purpose {
        Purpose::Collect | Purpose::Receive => {
            let code = match gs1::scan(text) {
                Ok(Scan::Text { text, .. }) => text,
                Ok(Scan::Elements(_)) => return hold("a product was scanned where a tube is due: scan the tube's label".to_owned()),
                Err(_) => text,
            };
            match code.trim().parse() {
                Ok(accession) if *purpose == Purpose::Collect => Routed::Collect { accession },
                Ok(accession) => Routed::Receive { accession },
                Err(error) => hold(error.to_string()),
            }
        }
        Purpose::Load(cabinet) => match gs1::scan(text) {
            Ok(Scan::Elements(found)) => package(cabinet, &found, now).unwrap_or_else(hold),
            Ok(Scan::Text { .. }) => hold("a plain code was scanned where a package is due: scan the GS1 code with lot and expiry".to_owned()),
            Err(fault) => hold(format!("the package's code is wrong {fault}")),
        },
    }
}

/// A package needs trade item, lot and expiry; a count (AI 30) says how many, one otherwise.
fn package(cabinet: &CabinetId, found: &ElementString<'_>, now: Timestamp) -> Result<Routed, String> {
    let missing = |what: &str, ai: &str| format!("the package's code has no {what} (AI {ai}): enter the package by hand");
    let gtin: Gtin = found.get("01").ok_or_else(|| missing("trade item number", "01"))?.parse().map_err(|error: crate::kernel::Invalid| error.to_string())?;
    let expires = gs1::date(found.get("17").ok_or_else(|| missing("expiry date", "17"))?, now.date().parts().0).map_err(|error| error.to_string())?;
    let lot = found.get("10").ok_or_else(|| missing("lot number", "10"))?.to_owned();
    let quantity = found.get("30").unwrap_or("1").parse().unwrap_or(Decimal::ONE);
    let package = found.get("21").map(|serial| format!("sgtin {gtin} {serial}"));
    Ok(Routed::Load { cabinet: cabinet.clone(), gtin, lot, expires, quantity, package })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(purpose: &Purpose, text: &[u8]) -> Routed {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        understand(purpose, text, now).items.remove(0)
    }

    #[test]
    fn tubes_and_packages() {
        let load = Purpose::Load("CAB1".parse().unwrap());
        assert_eq!(scan(&Purpose::Collect, b"]C026112100017"), Routed::Collect { accession: "26112100017".parse().unwrap() });
        assert_eq!(scan(&Purpose::Receive, b"26112100017 "), Routed::Receive { accession: "26112100017".parse().unwrap() });
        let Routed::Load { lot, expires, quantity, .. } = scan(&load, b"]d20109506682101352172812001\x30L7\x1d30100") else { panic!() };
        assert_eq!((lot.as_str(), expires.to_string().as_str(), quantity), ("L7", "2028-12-31", Decimal::from(100)));
    }

    #[test]
    fn what_is_scanned_at_the_wrong_place_or_broken_is_held() {
        let load = Purpose::Load("CAB1".parse().unwrap());
        let cases: [(&Purpose, &[u8]); 6] = [
            (&Purpose::Collect, b"]d20109506682101352"),
            (&load, b"]C026112100017"),
            (&load, b"]d20109506682101352"),
            (&load, b"]d20109506682101353172812001\x30L7"),
            (&Purpose::Collect, b"\x1b[reset"),
            (&Purpose::Collect, b"DOE JANE"),
        ];
        for (purpose, text) in cases {
            assert!(matches!(scan(purpose, text), Routed::Hold(_)), "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn no_byte_at_any_place_does_anything_but_name_a_tube() {
        for at in 0..11 {
            for byte in 0..=255_u8 {
                let mut text = b"26112100017".to_vec();
                text[at] = byte;
                assert!(matches!(scan(&Purpose::Collect, &text), Routed::Collect { .. } | Routed::Hold(_)));
            }
        }
    }
}
