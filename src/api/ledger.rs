//! Accounts: charges, each with the event that caused it, and payments.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use rust_decimal::Decimal;
use serde::Deserialize;
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::list::{Page, keyed};
use super::problem::Problem;
use super::state::Api;
use crate::domain::account::Command;
use crate::kernel::{AccountId, Currency, Money, Mrn, StreamId, StreamKind};
use crate::projection::AccountRow;

/// Accounts by medical record number.
#[utoipa::path(get, path = "/api/v1/accounts", responses((status = 200)))]
pub(super) async fn list(State(api): State<Api>, Page(page): Page) -> Json<Vec<serde_json::Value>> {
    Json(api.rows.list::<AccountRow>("account", &page.from, page.rows()).into_iter().map(|row| keyed("account", row)).collect())
}

/// One account. A patient without charges has the balance `null`, which is neither paid nor owed.
#[utoipa::path(get, path = "/api/v1/accounts/{mrn}", responses((status = 200)))]
pub(super) async fn show(State(api): State<Api>, Path(mrn): Path<String>) -> Result<Json<serde_json::Value>, Problem> {
    let account = AccountId::of(&parse::<Mrn>(&mrn)?);
    let row: AccountRow = api.rows.get("account", account.as_str()).unwrap_or_default();
    Ok(Json(keyed("account", (account.to_string(), row))))
}

/// A payment.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Payment {
    /// How much; not needed to settle.
    #[schema(value_type = Option<String>, example = "12.50")]
    amount: Option<Decimal>,
    /// In which currency.
    #[schema(value_type = Option<String>, example = "USD")]
    currency: Option<Currency>,
    /// Who acts.
    user: Option<String>,
}

/// `pay` an amount, or `settle` what is owed.
#[utoipa::path(post, path = "/api/v1/accounts/{mrn}/{action}", request_body = Payment, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(State(api): State<Api>, Path((mrn, action)): Path<(String, String)>, Key(key): Key, Body(body): Body<Payment>) -> Result<Response, Problem> {
    let account = AccountId::of(&parse::<Mrn>(&mrn)?);
    let command = match (action.as_str(), body.amount, body.currency) {
        ("settle", _, _) => Command::Settle,
        ("pay", Some(amount), Some(currency)) => Command::Pay { amount: Money::new(amount, currency) },
        ("pay", _, _) => return Err(Problem::bad("fields amount and currency are needed for this")),
        (other, _, _) => return Err(Problem::missing("action", other)),
    };
    let outcome = api.hospital.account(&account, command, api.origin(key, body.user.as_deref(), None)?).await;
    Ok(api.answer(&StreamId::new(StreamKind::Account, account.as_str()), key, &outcome, StatusCode::OK))
}
