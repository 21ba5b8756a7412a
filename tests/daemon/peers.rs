//! Independent peers: an HL7 client and an ASTM client in Python that others wrote; skipped where `WARDD_PEERS` names no environment that has them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::harness::*;

/// Sends an admission and a result with python-hl7, and prints what is answered.
const HL7_CLIENT: &str = r#"
import sys
import hl7
from hl7.client import MLLPClient

port, accession = int(sys.argv[1]), sys.argv[2]
admission = "\r".join([
    "MSH|^~\\&|ADT|HOSPITAL|WARDD|TEST|20260101120000||ADT^A01^ADT_A01|PEER1|P|2.5.1",
    "EVN|A01|20260101120000", "PID|1||4711^^^H^MR||O'HARA^MAEVE", "PV1|1|I|MED1^101^A||||||||||||||||V4711", ""])
result = "\r".join([
    "MSH|^~\\&|LIS|LAB|WARDD|TEST|20260101120500||ORU^R01^ORU_R01|PEER2|P|2.5.1",
    "PID|1||1001^^^H^MR||DOE^JANE", "OBR|1||%s|PANEL" % accession,
    "OBX|1|NM|718-7^HGB^LN||13.5|g/dL|||||F|||20260101120400", ""])
with MLLPClient("127.0.0.1", port) as client:
    for message in (admission, hl7.parse(result)):
        answer = client.send_message(message)
        assert answer.startswith(b"\x0b") and answer.endswith(b"\x1c\r"), answer
        parsed = hl7.parse(answer[1:-2].decode())
        sent = hl7.parse(str(message))
        assert str(parsed.segment("MSA")[2]) == str(sent.segment("MSH")[10])
        # The answer goes back to where the message came from.
        assert str(parsed.segment("MSH")[5]) == str(sent.segment("MSH")[3])
        assert str(parsed.segment("MSH")[9]).startswith("ACK^")
        print(parsed.segment("MSA")[1], parsed.segment("MSA")[2])
"#;

/// Sends two messages with python-astm, each record in a frame and then all in frames of 64 characters; prints what was refused.
const ASTM_CLIENT: &str = r#"
import collections
import collections.abc
import signal
import sys

# Its own timer outlives the connection; this one ends a script that gets no answer.
signal.alarm(20)

# The library is older than Python 3.10, which took these names away.
for name in ("Iterable", "Mapping", "MutableMapping", "Sequence", "Callable"):
    setattr(collections, name, getattr(collections.abc, name))

from astm.client import Client

port, accession = int(sys.argv[1]), sys.argv[2]


def records(code, value, unit, accepted):
    for record in (
        ["H", "\\^&", None, None, [" XN-550", "00-01", "11001", None, None, None, "AP123456"], None, None, None, None, None, None, None, "E1394-97"],
        ["P", "1"],
        ["O", "1", None, [None, None, accession.rjust(22), "M"], [None, None, None, None, code], "R"],
        ["R", "1", [None, None, None, None, code, "1"], value, unit, None, "N", None, "F", None, None, None, "20260101120000"],
        ["L", "1", "N"],
    ):
        ok = yield record
        accepted.append((record[0], ok))


for code, value, unit, more in (("HGB", "13.5", "g/dL", {}), ("WBC", "5.24", "10*3/uL", {"bulk_mode": True, "chunk_size": 64})):
    accepted = []
    client = Client(lambda: records(code, value, unit, accepted), host="127.0.0.1", port=port, encoding="ascii", timeout=None, **more)
    refused = []
    on_nak = client.on_nak
    client.on_nak = lambda: (refused.append(True), on_nak())
    client.run(timeout=0.05)
    assert not refused, refused
    assert all(ok for _, ok in accepted), accepted
    print(code, "acknowledged")
"#;

/// The Python of the peers, when they are there.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("WARDD_PEERS").map(|folder| PathBuf::from(folder).join("bin/python"));
    if python.is_none() {
        println!("skipped: WARDD_PEERS names no environment of independent peers");
    }
    python
}

/// Runs a script of a peer; what it prints.
fn run(python: &PathBuf, site: &Site, script: &str, arguments: &[&str]) -> String {
    let file = site.folder.join("peer.py");
    std::fs::write(&file, script).unwrap();
    let output = Command::new(python).arg(&file).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn python_hl7_admits_and_files_a_result() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["718-7"], true);
    let printed = run(&python, &site, HL7_CLIENT, &[&daemon.endpoints["feed"].port().to_string(), &accession]);
    assert_eq!(printed, "AA PEER1\nAA PEER2\n");
    daemon.until("resulted", |daemon| daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"] == "resulted");
    assert_eq!(daemon.terminate().1, Some(0));
    assert_eq!(count(&site.events(), "ResultFiled"), 1);
}

#[test]
fn python_astm_files_results_in_frames_of_a_record_and_in_cut_ones() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["718-7", "6690-2"], true);
    let printed = run(&python, &site, ASTM_CLIENT, &[&daemon.endpoints["xn"].port().to_string(), &accession]);
    assert_eq!(printed, "HGB acknowledged\nWBC acknowledged\n");
    daemon.until("resulted", |daemon| daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"] == "resulted");
    assert_eq!(daemon.terminate().1, Some(0));
    assert_eq!(count(&site.events(), "ResultFiled"), 2);
}
