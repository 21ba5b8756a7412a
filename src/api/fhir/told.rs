//! What other systems have told of a patient's record, as they told it: AuditEvent and Provenance.

use serde_json::{Value, json};

use super::id::of_patient;
use super::resources::{full, of};
use crate::domain::chart::{Agent, Code, Look, Origin};
use crate::kernel::{Mrn, Timestamp};

/// A Coding.
fn coding(code: &Code) -> Value {
    json!({ "system": code.system, "code": code.code, "display": code.display })
}

/// A CodeableConcept.
fn concept(code: &Code) -> Value {
    json!({ "coding": [coding(code)] })
}

fn concepts(codes: &[Code]) -> Value {
    codes.iter().map(concept).collect()
}

/// Who looked at the patient's record in another system; `sequence` is the event in the log.
pub(super) fn audit_event(mrn: &Mrn, sequence: u64, look: &Look) -> Value {
    let agent = |agent: &Agent| {
        let network = Some(&agent.address).filter(|address| !address.is_empty()).map(|address| json!({ "address": address }));
        json!({ "type": agent.part.as_ref().map(concept), "name": agent.name, "requestor": agent.is_requestor, "network": network })
    };
    let whom = json!({ "what": of(mrn), "role": { "system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1", "display": "Patient" } });
    let others = look.of.iter().map(|reference| json!({ "what": { "reference": reference } }));
    full(json!({
        "resourceType": "AuditEvent",
        "id": sequence.to_string(),
        "type": coding(&look.kind),
        "subtype": look.subtypes.iter().map(coding).collect::<Value>(),
        "action": look.action,
        "recorded": look.recorded.to_string(),
        "outcome": look.outcome,
        "purposeOfEvent": concepts(&look.purposes),
        "agent": look.agents.iter().map(agent).collect::<Value>(),
        "source": { "observer": { "display": look.source } },
        "entity": std::iter::once(whom).chain(others).collect::<Value>(),
    }))
}

/// Who made a record what it is, as another system told.
pub(super) fn provenance(mrn: &Mrn, sequence: u64, origin: &Origin) -> Value {
    let agent = |agent: &Agent| json!({ "type": agent.part.as_ref().map(concept), "who": { "display": agent.name } });
    full(json!({
        "resourceType": "Provenance",
        "id": id_of_origin(mrn, sequence),
        "target": [{ "reference": origin.target }],
        "occurredDateTime": origin.occurred.as_ref().map(Timestamp::to_string),
        "recorded": origin.recorded.to_string(),
        "reason": concepts(&origin.reasons),
        "activity": origin.activity.as_ref().map(concept),
        "agent": origin.agents.iter().map(agent).collect::<Value>(),
        "entity": origin.made_of.iter().map(|(role, what)| json!({ "role": role, "what": { "reference": what } })).collect::<Value>(),
    }))
}

/// The id of what was told with this event.
pub(super) fn id_of_origin(mrn: &Mrn, sequence: u64) -> String {
    of_patient(mrn.as_str(), &format!("t{sequence}"))
}
