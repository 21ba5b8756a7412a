//! Accounts: charges, each with the event that caused it, and payments.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use rust_decimal::Decimal;
use serde::Deserialize;
use utoipa::ToSchema;

use super::command::{Body, Key, parse};
use super::guard::Asking;
use super::list::{Page, keyed};
use super::problem::Problem;
use super::state::Api;
use crate::domain::account::{Command, Tender};
use crate::domain::disclosure::Record;
use crate::domain::rights::Permission;
use crate::kernel::{AccountId, Currency, EncounterId, Money, Mrn, StreamId, StreamKind};
use crate::projection::AccountRow;

/// Accounts by medical record number.
#[utoipa::path(get, path = "/api/v1/accounts", responses((status = 200)))]
pub(super) async fn list(State(api): State<Api>, Asking(who): Asking, Page(page): Page) -> Result<Json<Vec<serde_json::Value>>, Problem> {
    let allowed = api.may(&who, Permission::ViewAccounts)?;
    let rows = api.rows.list::<AccountRow>("account", &page.from, page.rows());
    let of = |account: &str| account.parse::<AccountId>().ok().and_then(|account| account.mrn().parse::<Mrn>().ok());
    let seen: Vec<_> = rows.into_iter().filter(|(account, _)| of(account).is_some_and(|mrn| who.rights.may(Permission::ViewAccounts, &api.gate.patient(&mrn)).is_ok())).collect();
    api.shown_list(&allowed, Record::Account, seen.iter().filter_map(|(account, _)| of(account)).collect()).await?;
    Ok(Json(seen.into_iter().map(|row| keyed("account", row)).collect()))
}

/// One account. A patient without charges has the balance `null`, which is neither paid nor owed.
#[utoipa::path(get, path = "/api/v1/accounts/{mrn}", responses((status = 200)))]
pub(super) async fn show(State(api): State<Api>, Asking(who): Asking, Path(mrn): Path<String>) -> Result<Json<serde_json::Value>, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let allowed = api.may_patient(&who, Permission::ViewAccounts, &mrn).await?;
    let account = AccountId::of(&mrn);
    api.shown(&allowed, Record::Account, None, vec![mrn]).await?;
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
    /// To `deposit`: `cash`, `card`, `cheque` or `transfer`.
    #[schema(value_type = Option<String>)]
    tender: Option<Tender>,
    /// To `deposit`: for which stay.
    #[schema(value_type = Option<String>)]
    encounter: Option<EncounterId>,
    /// To `return-deposit`: which.
    number: Option<u32>,
    /// To `return-deposit`: why.
    reason: Option<String>,
    /// Who acts, in an open house; else who is signed in.
    user: Option<String>,
}

/// `pay` an amount, `settle` what is owed, take a `deposit` before anything is, or `return-deposit`: what is left of it when what is owed is paid.
#[utoipa::path(post, path = "/api/v1/accounts/{mrn}/{action}", request_body = Payment, responses((status = 200), (status = 409, body = Problem)))]
pub(super) async fn act(
    State(api): State<Api>,
    Asking(who): Asking,
    Path((mrn, action)): Path<(String, String)>,
    Key(key): Key,
    Body(body): Body<Payment>,
) -> Result<Response, Problem> {
    let mrn: Mrn = parse(&mrn)?;
    let account = AccountId::of(&mrn);
    let command = match (action.as_str(), body.amount, body.currency) {
        ("settle", _, _) => Command::Settle,
        ("pay", Some(amount), Some(currency)) => Command::Pay { amount: Money::new(amount, currency) },
        ("deposit", Some(amount), Some(currency)) => {
            let tender = body.tender.ok_or_else(|| Problem::bad("field tender is needed for this: cash, card, cheque or transfer"))?;
            Command::TakeDeposit { amount: Money::new(amount, currency), tender, encounter: body.encounter.clone() }
        }
        ("return-deposit", _, _) => {
            let number = body.number.ok_or_else(|| Problem::bad("field number is needed for this: which deposit"))?;
            Command::ReturnDeposit { number, reason: body.reason.clone().unwrap_or_default() }
        }
        ("pay" | "deposit", _, _) => return Err(Problem::bad("fields amount and currency are needed for this")),
        (other, _, _) => return Err(Problem::missing("action", other)),
    };
    let allowed = api.may_patient(&who, command.needs(), &mrn).await?;
    let outcome = api.hospital.account(&account, command, api.origin(key, &allowed, body.user.as_deref())?).await;
    Ok(api.answer(&StreamId::new(StreamKind::Account, account.as_str()), key, &outcome, StatusCode::OK))
}
