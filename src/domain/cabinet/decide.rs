//! The rules: what each command gives.

use rust_decimal::Decimal;

use super::command::{Command, Reported, ReportedKind, Withdrawn};
use super::{Cabinet, Context, Event, LotAmount, Pocket, Rejection, Withdrawal};
use crate::kernel::planted::{self, Bug};
use crate::kernel::{Date, Gtin, Mrn, PocketId, Principal};

/// A cabinet's clock may be this far ahead before its reports are held.
const CLOCK_AHEAD_SECONDS: i64 = 120;

type Decision = Result<Vec<Event>, Rejection>;

pub(super) fn decide(cabinet: &Cabinet, context: &Context, command: &Command) -> Decision {
    match command {
        Command::AssignPocket { pocket, item, gtins, is_controlled } => match cabinet.pockets.get(pocket) {
            Some(known) if known.item == *item && known.gtins == *gtins && known.is_controlled == *is_controlled => Ok(vec![]),
            Some(known) if known.item != *item && known.discrepancy.is_some() => Err(Rejection::DiscrepancyOpen { pocket: pocket.clone() }),
            Some(known) if known.item != *item && known.balance() > Decimal::ZERO => {
                Err(Rejection::PocketInUse { pocket: pocket.clone(), item: known.item.clone(), balance: known.balance() })
            }
            _ => Ok(vec![Event::PocketAssigned { pocket: pocket.clone(), item: item.clone(), gtins: gtins.clone(), is_controlled: *is_controlled, at: context.now }]),
        },
        Command::Load { pocket, gtin, lot, expires, quantity, delivery } => load(cabinet, context, pocket.as_ref(), gtin.as_ref(), (lot, *expires, *quantity), delivery.as_deref()),
        Command::Unload { pocket, lot } => unload(cabinet, context, pocket, lot.as_deref()),
        Command::Vend { pocket, quantity, patient, lot } => vend(cabinet, context, pocket, *quantity, patient, lot.as_deref()),
        Command::CancelVend { withdrawal } => cancel(cabinet, context, *withdrawal),
        Command::Give { withdrawal, quantity } => {
            let (withdrawal, _) = open_withdrawal(cabinet, withdrawal, *quantity)?;
            Ok(vec![Event::Given { withdrawal, quantity: *quantity, at: context.now }])
        }
        Command::Return { withdrawal, quantity } => {
            let (withdrawal, found) = open_withdrawal(cabinet, withdrawal, *quantity)?;
            put_back(cabinet, context, withdrawal, found, *quantity)
        }
        Command::Waste { withdrawal, quantity } => {
            let witness = witness(context)?;
            let (withdrawal, _) = open_withdrawal(cabinet, withdrawal, *quantity)?;
            Ok(vec![Event::Wasted { withdrawal, quantity: *quantity, witness, at: context.now }])
        }
        Command::Count { pocket, found } => count(cabinet, context, pocket, *found),
        Command::ResolveDiscrepancy { pocket, explanation } => resolve(cabinet, context, pocket, explanation),
        Command::Report(reported) => report(cabinet, context, reported),
    }
}

/// More than this of one item is no quantity of a pocket but a mistyped number.
const QUANTITY_MAX: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);
/// Decimal places of a quantity: a ten-thousandth of a dispensing unit.
const QUANTITY_SCALE: u32 = 4;

/// A quantity that a pocket can hold, zero included.
fn plausible(quantity: Decimal) -> Result<(), Rejection> {
    if quantity > QUANTITY_MAX || quantity.normalize().scale() > QUANTITY_SCALE {
        return Err(Rejection::NotPlausible { quantity });
    }
    Ok(())
}

fn positive(quantity: Decimal) -> Result<(), Rejection> {
    if quantity <= Decimal::ZERO {
        return Err(Rejection::NotPositive { quantity });
    }
    plausible(quantity)
}

pub(super) fn is_same_person(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// The second person, who must not be the first.
fn witness(context: &Context) -> Result<String, Rejection> {
    let witness = context.witness.clone().filter(|name| !name.trim().is_empty()).ok_or(Rejection::WitnessMissing)?;
    match &context.principal {
        Principal::Person(actor) if is_same_person(actor, &witness) => Err(Rejection::WitnessIsActor),
        Principal::Person(_) | Principal::Program(_) | Principal::Device(_) | Principal::System(_) => Ok(witness),
    }
}

fn load(cabinet: &Cabinet, context: &Context, pocket: Option<&PocketId>, gtin: Option<&Gtin>, stock: (&str, Date, Decimal), delivery: Option<&str>) -> Decision {
    let (lot, expires, quantity) = stock;
    positive(quantity)?;
    if lot.trim().is_empty() {
        return Err(Rejection::LotMissing);
    }
    if delivery.is_some_and(|delivery| cabinet.deliveries.contains_key(delivery)) {
        return Ok(vec![]);
    }
    let takes = |pocket: &Pocket| gtin.is_none_or(|gtin| pocket.gtins.contains(gtin));
    let (id, pocket) = match pocket {
        Some(id) => (id, cabinet.pocket(id)?),
        None => cabinet.pockets.iter().find(|(_, pocket)| gtin.is_some() && takes(pocket)).ok_or(Rejection::WrongProduct)?,
    };
    if !takes(pocket) {
        return Err(Rejection::WrongPocket { pocket: id.clone(), item: pocket.item.clone() });
    }
    if expires < context.now.date() {
        return Err(Rejection::Expired { expires });
    }
    Ok(vec![Event::Loaded {
        pocket: id.clone(),
        item: pocket.item.clone(),
        lot: LotAmount { lot: lot.to_owned(), expires, quantity },
        delivery: delivery.map(str::to_owned),
        at: context.now,
    }])
}

fn unload(cabinet: &Cabinet, context: &Context, id: &PocketId, lot: Option<&str>) -> Decision {
    let pocket = cabinet.pocket(id)?;
    if pocket.is_controlled {
        witness(context)?;
    }
    let lots: Vec<LotAmount> = amounts(pocket).into_iter().filter(|amount| lot.is_none_or(|lot| amount.lot == lot)).collect();
    if lots.is_empty() {
        return Err(Rejection::Short { pocket: id.clone(), on_hand: Decimal::ZERO, asked: Decimal::ONE });
    }
    Ok(vec![Event::Unloaded { pocket: id.clone(), lots, at: context.now }])
}

fn amounts(pocket: &Pocket) -> Vec<LotAmount> {
    pocket.lots.iter().map(|lot| LotAmount { lot: lot.lot.clone(), expires: lot.expires, quantity: lot.quantity }).collect()
}

/// Takes a quantity from lots in their order, or says how much there is.
fn take(lots: &[LotAmount], quantity: Decimal) -> Result<Vec<LotAmount>, Decimal> {
    let mut left = quantity;
    let mut taken = Vec::new();
    for lot in lots {
        if left <= Decimal::ZERO {
            break;
        }
        let part = left.min(lot.quantity);
        taken.push(LotAmount { quantity: part, ..lot.clone() });
        left -= part;
    }
    if left > Decimal::ZERO && !planted::is(Bug::StockUnchecked) { Err(quantity - left) } else { Ok(taken) }
}

fn vend(cabinet: &Cabinet, context: &Context, id: &PocketId, quantity: Decimal, patient: &Mrn, lot: Option<&str>) -> Decision {
    positive(quantity)?;
    let pocket = cabinet.pocket(id)?;
    if pocket.discrepancy.is_some() {
        return Err(Rejection::DiscrepancyOpen { pocket: id.clone() });
    }
    let today = context.now.date();
    let wanted: Vec<LotAmount> = amounts(pocket).into_iter().filter(|amount| lot.is_none_or(|lot| amount.lot == lot)).collect();
    let usable: Vec<LotAmount> = wanted.iter().filter(|amount| amount.expires >= today).cloned().collect();
    if let (true, Some(expired)) = (usable.is_empty(), wanted.first()) {
        return Err(Rejection::Expired { expires: expired.expires });
    }
    let lots = take(&usable, quantity).map_err(|on_hand| Rejection::Short { pocket: id.clone(), on_hand, asked: quantity })?;
    // Numbers go on from the highest ever used, so that an accounted withdrawal's number is never used again.
    let withdrawal = cabinet.withdrawals.keys().next_back().map_or(1, |last| last + 1);
    Ok(vec![Event::Vended { withdrawal, pocket: id.clone(), item: pocket.item.clone(), patient: patient.clone(), lots, at: context.now }])
}

fn cancel(cabinet: &Cabinet, context: &Context, number: u32) -> Decision {
    let withdrawal = cabinet.withdrawals.get(&number).filter(|withdrawal| withdrawal.open() > Decimal::ZERO).ok_or(Rejection::NoWithdrawal)?;
    let pocket = cabinet.pocket(&withdrawal.pocket)?;
    let lots = take(&remaining(withdrawal), withdrawal.open()).map_err(|open| Rejection::MoreThanOpen { open, asked: withdrawal.open() })?;
    Ok(vec![Event::VendCancelled { withdrawal: number, pocket: withdrawal.pocket.clone(), item: pocket.item.clone(), patient: withdrawal.patient.clone(), lots, at: context.now }])
}

/// The lots of a withdrawal, last taken first, less what is accounted for: what is used comes from the first lots.
fn remaining(withdrawal: &Withdrawal) -> Vec<LotAmount> {
    let mut left = withdrawal.open();
    let mut lots = Vec::new();
    for lot in withdrawal.lots.iter().rev() {
        let part = left.min(lot.quantity);
        if part > Decimal::ZERO {
            lots.push(LotAmount { quantity: part, ..lot.clone() });
            left -= part;
        }
    }
    lots
}

fn open_withdrawal<'a>(cabinet: &'a Cabinet, named: &Withdrawn, quantity: Decimal) -> Result<(u32, &'a Withdrawal), Rejection> {
    positive(quantity)?;
    let is_open = |withdrawal: &&Withdrawal| withdrawal.open() > Decimal::ZERO;
    let found = match named {
        Withdrawn::Number(number) => cabinet.withdrawals.get(number).filter(is_open).map(|withdrawal| (*number, withdrawal)),
        Withdrawn::Of { pocket, patient } => {
            let of_both = |withdrawal: &Withdrawal| withdrawal.pocket == *pocket && withdrawal.patient == *patient;
            cabinet.withdrawals.iter().find(|(_, withdrawal)| of_both(withdrawal) && is_open(withdrawal)).map(|(number, withdrawal)| (*number, withdrawal))
        }
    };
    let (number, withdrawal) = found.ok_or(Rejection::NoWithdrawal)?;
    if quantity > withdrawal.open() {
        return Err(Rejection::MoreThanOpen { open: withdrawal.open(), asked: quantity });
    }
    Ok((number, withdrawal))
}

fn put_back(cabinet: &Cabinet, context: &Context, number: u32, withdrawal: &Withdrawal, quantity: Decimal) -> Decision {
    let pocket = cabinet.pocket(&withdrawal.pocket)?;
    let lots = take(&remaining(withdrawal), quantity).map_err(|open| Rejection::MoreThanOpen { open, asked: quantity })?;
    Ok(vec![Event::Returned { withdrawal: number, pocket: withdrawal.pocket.clone(), item: pocket.item.clone(), patient: withdrawal.patient.clone(), lots, at: context.now }])
}

fn count(cabinet: &Cabinet, context: &Context, id: &PocketId, found: Decimal) -> Decision {
    if found < Decimal::ZERO {
        return Err(Rejection::NegativeCount);
    }
    plausible(found)?;
    let pocket = cabinet.pocket(id)?;
    if pocket.is_controlled {
        witness(context)?;
    }
    let expected = pocket.balance();
    match &pocket.discrepancy {
        _ if expected == found => Ok(vec![Event::Counted { pocket: id.clone(), found, at: context.now }]),
        Some(open) if open.found == found => Ok(vec![]),
        _ => Ok(vec![Event::DiscrepancyOpened { pocket: id.clone(), expected, found, at: context.now }]),
    }
}

fn resolve(cabinet: &Cabinet, context: &Context, id: &PocketId, explanation: &str) -> Decision {
    let pocket = cabinet.pocket(id)?;
    let open = pocket.discrepancy.as_ref().ok_or_else(|| Rejection::NoDiscrepancy { pocket: id.clone() })?;
    let witness = witness(context)?;
    if explanation.trim().is_empty() {
        return Err(Rejection::ExplanationMissing);
    }
    let lots = at_balance(pocket, open.found, context.now.date());
    Ok(vec![Event::DiscrepancyResolved { pocket: id.clone(), explanation: explanation.to_owned(), witness, lots, at: context.now }])
}

/// The lots of a pocket so that they add up to what was found: what is missing is taken from the first to expire,
/// what is too much stands as a lot of unknown number that expires with the last known one.
fn at_balance(pocket: &Pocket, found: Decimal, today: Date) -> Vec<LotAmount> {
    let mut lots = amounts(pocket);
    let balance = pocket.balance();
    if found >= balance {
        let surplus = found - balance;
        if surplus > Decimal::ZERO {
            let expires = lots.last().map_or(today, |lot| lot.expires);
            lots.push(LotAmount { lot: "UNKNOWN".to_owned(), expires, quantity: surplus });
        }
        return lots;
    }
    let mut missing = balance - found;
    for lot in &mut lots {
        let part = missing.min(lot.quantity);
        lot.quantity -= part;
        missing -= part;
    }
    lots.retain(|lot| lot.quantity > Decimal::ZERO);
    lots
}

/// What another system reports has happened already; it is taken over in order, or held.
fn report(cabinet: &Cabinet, context: &Context, reported: &Reported) -> Decision {
    let Reported { kind, pocket: id, item, quantity, expected_begin: _, actual_begin, patient, user, witness, at } = reported;
    match kind {
        // A count may find nothing, and a bin may be empty already.
        ReportedKind::Count | ReportedKind::BinEmptied if *quantity < Decimal::ZERO => return Err(Rejection::NegativeCount),
        ReportedKind::Count | ReportedKind::BinEmptied => plausible(*quantity)?,
        _ => positive(*quantity)?,
    }
    if *actual_begin < Decimal::ZERO {
        return Err(Rejection::NegativeCount);
    }
    plausible(*actual_begin)?;
    // Device, pocket, kind, amount, begin count and time: what VistA's index reads like (devices.md section 5).
    let identity = format!("{id}/{kind:?}/{item}/{quantity}/{actual_begin}/{at}");
    if cabinet.reported.contains(&identity) {
        return Ok(vec![]);
    }
    if at.seconds_since(context.now) > CLOCK_AHEAD_SECONDS {
        return Err(Rejection::ClockAhead { at: *at });
    }
    let mut events = Vec::new();
    let pocket = cabinet.pockets.get(id);
    if let Some(pocket) = pocket {
        // Reports have minutes only: one of the same minute as the last change is in order.
        if at.micros() / 60_000_000 < pocket.updated.micros() / 60_000_000 {
            return Err(Rejection::Outdated { pocket: id.clone(), at: *at, updated: pocket.updated });
        }
        if pocket.item != *item && pocket.balance() > Decimal::ZERO {
            return Err(Rejection::WrongPocket { pocket: id.clone(), item: pocket.item.clone() });
        }
    }
    let known = pocket.filter(|pocket| pocket.item == *item);
    let balance = known.map_or(Decimal::ZERO, Pocket::balance);
    if known.is_none() {
        events.push(Event::PocketAssigned { pocket: id.clone(), item: item.clone(), gtins: vec![], is_controlled: false, at: *at });
    }
    let is_first = pocket.is_none();
    // A cabinet that is new to us brings its stock with it; afterwards its begin count must be our balance.
    if !is_first && *actual_begin != balance {
        events.push(Event::DiscrepancyOpened { pocket: id.clone(), expected: balance, found: *actual_begin, at: *at });
    }
    let after = match kind {
        ReportedKind::Load | ReportedKind::Return => actual_begin + quantity,
        ReportedKind::Vend | ReportedKind::Unload => actual_begin - quantity,
        ReportedKind::Waste => *actual_begin,
        ReportedKind::BinEmptied => Decimal::ZERO,
        ReportedKind::Count => *quantity,
    };
    if after < Decimal::ZERO {
        // Never clamped: the claim is kept as a discrepancy and the balance stays what the events add up to.
        events.push(Event::DiscrepancyOpened { pocket: id.clone(), expected: balance, found: after, at: *at });
        return Ok(events);
    }
    let lots = match known {
        Some(known) => at_balance(known, after, context.now.date()),
        None if after > Decimal::ZERO => vec![LotAmount { lot: "UNKNOWN".to_owned(), expires: context.now.date(), quantity: after }],
        None => vec![],
    };
    events.push(Event::TransactionReported {
        identity,
        kind: *kind,
        pocket: id.clone(),
        item: item.clone(),
        quantity: *quantity,
        lots,
        patient: patient.clone(),
        user: user.clone(),
        witness: witness.clone(),
        at: *at,
    });
    Ok(events)
}
