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

/// Takes traces as a collector does, by the definitions that OpenTelemetry publishes; prints its port, then each span.
const COLLECTOR: &str = r#"
import base64
import json
from http.server import BaseHTTPRequestHandler, HTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def as_base64(node):
    # In OTLP's JSON identities are hexadecimal, in protobuf's own JSON bytes are base64.
    if isinstance(node, list):
        return [as_base64(each) for each in node]
    if isinstance(node, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        return {key: base64.b64encode(bytes.fromhex(value)).decode() if key in ids else as_base64(value) for key, value in node.items()}
    return node


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/traces" and self.headers["content-type"] == "application/json", (self.path, self.headers["content-type"])
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        # A name or a type that OpenTelemetry does not define is an error here.
        request = json_format.ParseDict(as_base64(body), ExportTraceServiceRequest())
        for resource in request.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert named["service.name"] == "wardd", named
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                assert len(span.trace_id) == 16 and len(span.span_id) == 8 and 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
                assert all(event.name and event.time_unix_nano for event in span.events), span
                print(span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex() or "-", span.name, flush=True)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
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

/// A child that is ended with the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_scan_and_its_charge_are_one_trace_at_a_collector() {
    let Some(python) = python() else { return };
    let outside = Site::new();
    let (script, printed) = (outside.folder.join("collector.py"), outside.folder.join("spans"));
    std::fs::write(&script, COLLECTOR).unwrap();
    let errors = std::fs::File::create(outside.folder.join("errors")).unwrap();
    let _collector = Child(Command::new(python).arg(&script).stdin(Stdio::null()).stdout(std::fs::File::create(&printed).unwrap()).stderr(errors).spawn().unwrap());
    let lines = || std::fs::read_to_string(&printed).unwrap().lines().map(|line| line.splitn(4, ' ').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>();
    let port = until("its port", || lines().first().map(|line| line[0].clone()));
    let site = Site::with("", &format!("[traces]\nendpoint = \"http://127.0.0.1:{port}/v1/traces\"\n"));
    let daemon = site.start();
    let accession = daemon.order(&["718-7", "6690-2"], true);
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &oru("T1", &accession, "13.5")).unwrap().contains("MSA|AA|T1"));
    assert_eq!(daemon.post("/api/v1/cabinets/CAB1/load", serde_json::json!({ "pocket": "1-1", "lot": "L1", "expires": "2030-01-01", "quantity": "10" })).0, 200);
    daemon.known("1001");
    assert_eq!(daemon.post("/api/v1/cabinets/CAB1/vend", serde_json::json!({ "pocket": "1-1", "quantity": "1", "patient": "1001" })).0, 200);
    for (cause, charge) in [("specimen ResultFiled", "billing Charge"), ("cabinet Vended", "billing Charge")] {
        let (scan, charge) = until("cause and charge", || {
            let spans = lines();
            let cause = spans.iter().find(|span| span.len() == 4 && span[3] == cause)?.clone();
            let charge = spans.iter().find(|span| span.len() == 4 && span[0] == cause[0] && span[3].starts_with(charge))?.clone();
            Some((cause, charge))
        });
        assert_eq!((charge[2].as_str(), scan[2].as_str()), (scan[1].as_str(), "-"), "the charge hangs on its cause, which is the first of its trace");
    }
    let all = std::fs::read_to_string(&printed).unwrap();
    assert!(!all.contains("1001") && !all.contains(&accession), "no span names a patient or a specimen");
    // Counted when the collector has answered, which is after it has printed.
    daemon.until("counted", |daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_traces_spans_total{outcome=\"sent\"}"));
    assert_eq!(daemon.terminate().1, Some(0));
}

#[test]
fn a_collector_that_is_not_there_changes_nothing_but_a_count() {
    let site = Site::with("", "[traces]\nendpoint = \"http://127.0.0.1:1/v1/traces\"\n");
    let daemon = site.start();
    daemon.order(&["718-7"], true);
    daemon.until("counted", |daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_traces_spans_total{outcome=\"lost\"}"));
    assert_eq!(daemon.terminate().1, Some(0));
}
