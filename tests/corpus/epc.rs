//! Tags of three libraries.

use regex::Regex;

use super::table::*;

const EPC_SCHEMES: [&str; 7] = ["sgtin", "sscc", "sgln", "grai", "giai", "gsrn", "gsrnp"];

/// A tag in its three forms, each read and written; counted, or described as a failure.
fn tag(hex: &str, uri: &str, identity: Option<&str>, table: &mut Table, failures: &mut Vec<String>) {
    let scheme = uri.split([':', '-']).nth(3).unwrap();
    let is_known = EPC_SCHEMES.contains(&scheme);
    for input in [hex, uri] {
        let (is_accepted, found) = decode("epc", input.as_bytes(), &[]);
        let is_same = match is_known {
            true => is_accepted && found["hex"] == hex && found["tag_uri"] == uri && identity.is_none_or(|identity| found["pure_identity"] == identity),
            false => !is_accepted,
        };
        match is_same {
            true => table.add(if is_known { format!("{scheme}: both ways, bit for bit") } else { format!("{scheme}: refused, a scheme that wardd does not read") }),
            false => failures.push(format!("{input}: {hex} {uri} {identity:?}, wardctl {found}")),
        }
    }
}

#[test]
fn epc_tags_of_three_libraries() {
    let (Some(coder), Some(pyepc), Some(readme)) =
        (corpus("epc/pedrozc90+epc-coder/epc_coder_vectors.jsonl"), corpus("epc/fulfilio+pyepc/pyepc_tests.jsonl"), corpus("epc/jlcout+epctagcoder/readme_vectors.txt"))
    else {
        return;
    };
    let (mut table, mut failures) = (Table::default(), Vec::new());
    for vector in lines(&coder) {
        if let Some(forms) = vector["args"].as_array() {
            let form = |at: usize| forms[at].as_str().unwrap();
            tag(form(0), form(1), Some(form(2)), &mut table, &mut failures);
            continue;
        }
        let test = text_of(&vector, "test");
        for value in vector["values"].as_array().unwrap().iter().map(|value| value.as_str().unwrap()) {
            let (input, expected) = value.rsplit_once(", ").unwrap_or((value, ""));
            let (is_accepted, found) = decode("epc", input.as_bytes(), &[]);
            let uri: Vec<&str> = text_of(&found, "tag_uri").rsplit([':', '.']).collect();
            let is_same = match test {
                "whenInvalidRfidTag_thenExceptionIsRaised" | "decode_EpcTagURI_WithInvalidCharacter" => !is_accepted,
                // 25 digits are no whole words of memory: the Java code reads the bits that it needs and leaves the rest.
                _ if input.len() == 25 => !is_accepted,
                "parseEpcSerial" => uri[0] == expected,
                "parseEpcFilter" => uri[3] == expected,
                "parseEpcEan" => format!("{}{}", uri[2], &uri[1][1..]).starts_with(&expected[..expected.len() - 1]),
                // A company prefix of 12 digits has partition 0.
                "parseEpcPartition" => (12 - uri[2].len()).to_string() == expected,
                _ => panic!("unknown test {test}"),
            };
            match is_same {
                true => table.add(format!("{test}: as expected")),
                false => failures.push(format!("{test} {value}: wardctl {found}")),
            }
        }
    }
    let (uris, hexes) = (Regex::new(r"'(urn:epc:tag:[^']*)'").unwrap(), Regex::new(r"encode\([^)]*\) == '([0-9A-F]+)'").unwrap());
    for vector in lines(&pyepc).iter().filter(|vector| text_of(vector, "test") != "test_encode_hex") {
        let body = text_of(vector, "body");
        let (Some(uri), Some(hex)) = (uris.captures(body), hexes.captures(body)) else {
            table.add("pyepc: not applicable (no tag in two forms)");
            continue;
        };
        // The library writes whole bytes; a tag's memory is whole words of 16 bits.
        let hex = format!("{}{}", &hex[1], "0".repeat((4 - hex[1].len() % 4) % 4));
        tag(&hex, &uri[1], None, &mut table, &mut failures);
    }
    let text = std::fs::read_to_string(&readme).unwrap();
    let [hex, identity, uri] = text.lines().collect::<Vec<_>>()[..] else { panic!("three forms") };
    tag(hex, uri, Some(identity), &mut table, &mut failures);
    table.print("epc");
    no_failures(&failures);
}
