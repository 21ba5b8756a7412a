//! Subscriptions (FHIR R4, Subscription) as they are read. What is told is in [`mod@super::news`], what is asked in `write`.
//!
//! **Invariant**: a program sees and changes its own subscriptions only.

use serde_json::{Value, json};

use super::gather::Gathered;
use super::id::escape;
use super::resources::full;
use crate::access::Who;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::domain::rights::Permission;
use crate::domain::subscription::{Status, Subscription};

/// A subscription as a resource.
pub(super) fn resource(id: &str, known: &Subscription) -> Value {
    let Subscription { wanted, status, .. } = known;
    let (status, error) = match status {
        Status::Active => ("active", None),
        Status::Failed { why } => ("error", Some(why)),
        Status::Off | Status::None => ("off", None),
    };
    full(json!({
        "resourceType": "Subscription",
        "id": escape(id),
        "status": status,
        "end": wanted.end.map(|end| end.to_string()),
        "reason": wanted.reason,
        "criteria": wanted.criteria,
        "error": error,
        "channel": {
            "type": "rest-hook",
            "endpoint": wanted.endpoint,
            "payload": wanted.is_with_resource.then_some("application/fhir+json"),
            "header": wanted.headers,
        },
    }))
}

/// The program's own subscriptions.
pub(super) fn own(api: &Api, who: &Who) -> Result<Gathered, Problem> {
    let allowed = api.may(who, Permission::Subscribe)?;
    let all = api.rows.subscriptions().into_iter().filter(|(_, known)| known.wanted.token.as_deref() == who.token());
    Ok(Gathered::of_house(allowed, all.map(|(id, known)| resource(&id, &known)).collect()))
}
