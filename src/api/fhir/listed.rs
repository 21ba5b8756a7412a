//! Entries of the directory as resources: Organization, Location, Device.

use serde_json::{Value, json};

use super::Kind;
use super::id::escape;
use super::resources::{House, full, reference};
use crate::domain::directory::{self, Entry};

/// The kind of resource that an entry is.
pub(super) fn kind_of(entry: &Entry) -> Kind {
    match entry.kind {
        directory::Kind::Organization => Kind::Organization,
        directory::Kind::Place => Kind::Location,
        directory::Kind::Equipment => Kind::Device,
    }
}

/// The resource of an entry.
pub(super) fn resource(house: &House, id: &str, entry: &Entry) -> Value {
    let identifier: Value = entry.numbers.iter().map(|number| json!({ "system": number.system, "value": number.value })).collect();
    let telecom: Value = entry.phones.iter().map(|phone| json!({ "system": "phone", "value": phone })).collect();
    let sort = json!({ "text": entry.sort });
    let ward = entry.ward.as_ref().map(|ward| reference("Location", &escape(ward.as_str())));
    let common = |resource: Value| {
        let mut resource = full(resource);
        resource["id"] = escape(id).into();
        resource
    };
    let status = if entry.active { "active" } else { "inactive" };
    common(match entry.kind {
        directory::Kind::Organization => {
            json!({ "resourceType": "Organization", "identifier": identifier, "active": entry.active, "type": [sort], "name": entry.name, "telecom": telecom })
        }
        directory::Kind::Place => json!({
            "resourceType": "Location",
            "identifier": identifier,
            "status": status,
            "name": entry.name,
            "mode": "instance",
            "type": [sort],
            "telecom": telecom,
            "managingOrganization": house.reference(),
            "partOf": ward,
        }),
        directory::Kind::Equipment => json!({
            "resourceType": "Device",
            "identifier": identifier,
            "status": status,
            "manufacturer": entry.manufacturer,
            "expirationDate": entry.expires.map(|expires| expires.to_string()),
            "lotNumber": entry.lot,
            "serialNumber": entry.serial,
            "deviceName": [{ "name": entry.name, "type": "user-friendly-name" }],
            "modelNumber": entry.model,
            "type": sort,
            "owner": house.reference(),
            "contact": telecom,
            "location": ward,
        }),
    })
}
