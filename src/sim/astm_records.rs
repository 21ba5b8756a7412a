//! LIS2-A2 records as a Sysmex XN-550 and a Roche cobas e411 write them, and the reading of a host's orders.

use super::clock::Moment;
use super::random::Random;
use super::wiring::Assay;

/// Whose habits the analyzer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Results only, a record a frame, sample id padded in O.4, code in R.3.5, leading blanks.
    Sysmex,
    /// Host query, one text cut every 240 characters, sample id in O.3, `^^^code/1/not`, `call^value`.
    Roche,
}

/// One measured value with the time that it was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What was measured.
    pub assay: Assay,
    /// As sent.
    pub value: String,
    /// N, H or L.
    pub flag: &'static str,
}

/// Draws a value: four in five inside the reference range, else beside it.
pub fn measure(assay: &Assay, random: &mut Random) -> Measurement {
    let width = (assay.high - assay.low).max(0.0);
    let position = random.fraction();
    let value = match random.below(10) {
        0 => assay.low - position * width * 0.5,
        1 => assay.high + position * width,
        _ => assay.low + position * width,
    };
    let value = value.max(0.0);
    let text = format!("{value:.*}", usize::from(assay.decimals.min(6)));
    // The flag follows from the number as sent, so that rounding and flag never disagree.
    let rounded = text.parse::<f64>().unwrap_or(value);
    let flag = if rounded < assay.low {
        "L"
    } else if rounded > assay.high {
        "H"
    } else {
        "N"
    };
    Measurement { assay: assay.clone(), value: text, flag }
}

/// The results of one tube, H to L.
pub fn results(flavour: Flavour, accession: &str, measured: &[Measurement], measured_at: Moment, sent_at: Moment) -> Vec<String> {
    let mut records = vec![header(flavour, "RSUPL^REAL", sent_at)];
    match flavour {
        Flavour::Sysmex => {
            records.push("P|1".to_owned());
            let codes: Vec<String> = measured.iter().map(|m| sysmex_code(&m.assay)).collect();
            let ordered = codes.join("\\");
            records.push(format!("O|1||^^{accession:>22}^M|{ordered}|||||||N||||||||||||||F"));
        }
        Flavour::Roche => {
            records.push("P|1".to_owned());
            // Sample number and rack position; the same again when an operator sends the result again.
            let mut random = Random::new(0).fork(accession);
            let place = format!("{}^50000^{}^^S1^SC", random.between(1, 999), random.between(1, 5));
            let ordered: Vec<String> = measured.iter().map(|m| roche_code(&m.assay)).collect();
            let time = measured_at.compact();
            records.push(format!("O|1|{accession}|{place}|{}|R||{time}||||N||||1|||||||{time}|||F", ordered.join("\\")));
        }
    }
    for (index, measurement) in measured.iter().enumerate() {
        let number = index + 1;
        records.push(result(flavour, number, measurement, measured_at));
        if flavour == Flavour::Roche {
            records.push("C|1|I|0|I".to_owned());
        }
    }
    records.push("L|1|N".to_owned());
    records
}

/// A host query for one sample, H to L.
pub fn query(accession: &str, sent_at: Moment) -> Vec<String> {
    vec![header(Flavour::Roche, "TSREQ^REAL", sent_at), format!("Q|1|^{accession}||ALL||||||||O"), "L|1|N".to_owned()]
}

/// The vendor codes that a host ordered for `accession`, in its order; empty when it has none or answers for others.
pub fn ordered_codes(message: &[String], accession: &str) -> Vec<String> {
    let Some(delimiters) = message.first().and_then(|header| Delimiters::of(header)) else {
        return Vec::new();
    };
    let mut codes = Vec::new();
    for record in message.iter().filter(|record| record.starts_with('O')) {
        let fields: Vec<&str> = record.split(delimiters.field).collect();
        let names = |position: usize| {
            let field = fields.get(position).copied().unwrap_or_default();
            field.split(delimiters.component).any(|component| component.trim() == accession)
        };
        if !names(2) && !names(3) {
            continue;
        }
        for test in fields.get(4).copied().unwrap_or_default().split(delimiters.repeat) {
            let code = test.split(delimiters.component).find(|component| !component.trim().is_empty());
            if let Some(code) = code {
                codes.push(bare_code(code.trim()).to_owned());
            }
        }
    }
    codes
}

/// The code without dilution: `10` of `10/1/not`.
pub fn bare_code(code: &str) -> &str {
    code.split('/').next().unwrap_or(code)
}

struct Delimiters {
    field: char,
    repeat: char,
    component: char,
}

impl Delimiters {
    // H.2 names them, LIS2-A2 section 6.2; the receiver must not assume the usual ones.
    fn of(header: &str) -> Option<Delimiters> {
        let mut characters = header.chars().skip(1);
        Some(Delimiters { field: characters.next()?, repeat: characters.next()?, component: characters.next()? })
    }
}

fn header(flavour: Flavour, purpose: &str, sent_at: Moment) -> String {
    match flavour {
        Flavour::Sysmex => "H|\\^&|||    XN-550^00-01^11001^^^^AP123456||||||||E1394-97".to_owned(),
        Flavour::Roche => {
            format!("H|\\^&|||cobas-e411^1|||||host|{purpose}|P|1|{}", sent_at.compact())
        }
    }
}

fn sysmex_code(assay: &Assay) -> String {
    format!("^^^^{}^1", assay.code)
}

fn roche_code(assay: &Assay) -> String {
    if assay.code.contains('/') { format!("^^^{}", assay.code) } else { format!("^^^{}/1/not", assay.code) }
}

fn result(flavour: Flavour, number: usize, m: &Measurement, at: Moment) -> String {
    let time = at.compact();
    let unit = &m.assay.unit;
    match flavour {
        Flavour::Sysmex => {
            let code = sysmex_code(&m.assay);
            // Right-aligned in five columns, as the XP-100 of the transcripts writes it.
            format!("R|{number}|{code}|{:>5}|{unit}||{}||F||||{time}", m.value, m.flag)
        }
        Flavour::Roche => {
            let code = roche_code(&m.assay);
            let qualitative = unit == "COI" || unit == "S/CO";
            let call = match (qualitative, m.flag) {
                (false, _) => "",
                (true, "H") => "1^",
                (true, _) => "-1^",
            };
            let digits = usize::from(m.assay.decimals.min(6));
            let range = format!("{:.digits$}^{:.digits$}", m.assay.low, m.assay.high);
            format!("R|{number}|{code}|{call}{}|{unit}|{range}|{}||F|||{time}|{time}", m.value, m.flag)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assay(code: &str, unit: &str) -> Assay {
        Assay { loinc: "6690-2".into(), code: code.into(), unit: unit.into(), low: 4.0, high: 10.0, decimals: 2 }
    }

    fn fixed(code: &str, unit: &str, value: &str, flag: &'static str) -> Measurement {
        Measurement { assay: assay(code, unit), value: value.into(), flag }
    }

    const AT: Moment = Moment { unix_ms: 951_827_696_000 };

    #[test]
    fn sysmex_message() {
        let measured = [fixed("WBC", "10*3/uL", "5.80", "N")];
        let records = results(Flavour::Sysmex, "A100", &measured, AT, AT);
        assert_eq!(records[0], "H|\\^&|||    XN-550^00-01^11001^^^^AP123456||||||||E1394-97");
        assert_eq!(records[2], "O|1||^^                  A100^M|^^^^WBC^1|||||||N||||||||||||||F");
        assert_eq!(records[3], "R|1|^^^^WBC^1| 5.80|10*3/uL||N||F||||20000229123456");
        assert_eq!(records[4], "L|1|N");
    }

    #[test]
    fn roche_messages() {
        let measured = [fixed("400", "COI", "0.33", "N"), fixed("10/5/not", "uIU/mL", "12.00", "H")];
        let records = results(Flavour::Roche, "A100", &measured, AT, AT);
        assert_eq!(records[0], "H|\\^&|||cobas-e411^1|||||host|RSUPL^REAL|P|1|20000229123456");
        assert!(records[2].starts_with("O|1|A100|"));
        assert_eq!(records[3], "R|1|^^^400/1/not|-1^0.33|COI|4.00^10.00|N||F|||20000229123456|20000229123456");
        assert!(records[5].starts_with("R|2|^^^10/5/not|12.00|uIU/mL|"));
        assert_eq!(query("A100", AT)[1], "Q|1|^A100||ALL||||||||O");
    }

    #[test]
    fn orders_are_read_with_the_delimiters_of_the_host() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&["H|\\^&", "P|1", "O|1|A100||^^^10/1/not\\^^^400|R", "L|1|N"], &["10", "400"]),
            (&["H!~*&", "P!1", "O!1!A100!!***10", "O!2!A100!!***20", "L!1!F"], &["10", "20"]),
            (&["H|\\^&", "O|1|B200||^^^10", "L|1|N"], &[]),
            (&["H|\\^&", "Q|1|^A100", "L|1|I"], &[]),
            (&[], &[]),
        ];
        for (message, expected) in cases {
            let message: Vec<String> = message.iter().map(|r| (*r).to_owned()).collect();
            assert_eq!(ordered_codes(&message, "A100"), expected, "{message:?}");
        }
    }

    #[test]
    fn flags_agree_with_the_number_sent() {
        let mut random = Random::new(1);
        let assay = assay("X", "g/L");
        let mut seen = [0; 3];
        for _ in 0..500 {
            let m = measure(&assay, &mut random);
            let value: f64 = m.value.parse().unwrap();
            let expected = if value < 4.0 {
                "L"
            } else if value > 10.0 {
                "H"
            } else {
                "N"
            };
            assert_eq!(m.flag, expected);
            seen[["L", "N", "H"].iter().position(|f| *f == expected).unwrap()] += 1;
        }
        assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
    }
}
