//! What each event changes.

use rust_decimal::Decimal;

use super::{Cabinet, Discrepancy, Event, Lot, LotAmount, Pocket, Withdrawal};
use crate::kernel::{PocketId, Timestamp};

pub(super) fn apply(cabinet: &mut Cabinet, event: &Event) {
    match event {
        Event::PocketAssigned { pocket, item, gtins, is_controlled, at } => {
            // What is in it stays, and so does a count that did not agree: an assignment explains nothing.
            let (lots, discrepancy) = cabinet.pockets.remove(pocket).map(|pocket| (pocket.lots, pocket.discrepancy)).unwrap_or_default();
            let assigned = Pocket { item: item.clone(), gtins: gtins.clone(), is_controlled: *is_controlled, lots, discrepancy, updated: *at };
            cabinet.pockets.insert(pocket.clone(), assigned);
        }
        Event::Loaded { pocket, lot, delivery, at, .. } => {
            add(cabinet, pocket, std::slice::from_ref(lot), *at);
            if let Some(delivery) = delivery {
                cabinet.deliveries.insert(delivery.clone(), pocket.clone());
            }
        }
        Event::Unloaded { pocket, lots, at } => {
            remove(cabinet, pocket, lots, *at);
            // A package that went back to the pharmacy may come again.
            cabinet.deliveries.retain(|delivery, of| of != pocket || !delivery.starts_with("sgtin "));
        }
        Event::Vended { withdrawal, pocket, patient, lots, at, .. } => {
            remove(cabinet, pocket, lots, *at);
            let zero = Decimal::ZERO;
            let taken = Withdrawal { pocket: pocket.clone(), patient: patient.clone(), lots: lots.clone(), given: zero, wasted: zero, returned: zero };
            forget_accounted(cabinet);
            cabinet.withdrawals.insert(*withdrawal, taken);
        }
        Event::VendCancelled { withdrawal, pocket, lots, at, .. } | Event::Returned { withdrawal, pocket, lots, at, .. } => {
            add(cabinet, pocket, lots, *at);
            let back: Decimal = lots.iter().map(|lot| lot.quantity).sum();
            account(cabinet, *withdrawal, |withdrawal| withdrawal.returned += back);
        }
        Event::Given { withdrawal, quantity, .. } => account(cabinet, *withdrawal, |withdrawal| withdrawal.given += quantity),
        Event::Wasted { withdrawal, quantity, .. } => account(cabinet, *withdrawal, |withdrawal| withdrawal.wasted += quantity),
        Event::Counted { pocket, at, .. } => change(cabinet, pocket, *at, |pocket| pocket.discrepancy = None),
        Event::DiscrepancyOpened { pocket, expected, found, at } => {
            let discrepancy = Discrepancy { expected: *expected, found: *found, since: *at };
            change(cabinet, pocket, *at, |pocket| pocket.discrepancy = Some(discrepancy));
        }
        Event::DiscrepancyResolved { pocket, lots, at, .. } => change(cabinet, pocket, *at, |pocket| {
            pocket.discrepancy = None;
            pocket.lots = lots.iter().map(lot_of).collect();
        }),
        Event::TransactionReported { identity, pocket, lots, at, .. } => {
            cabinet.reported.insert(identity.clone());
            change(cabinet, pocket, *at, |pocket| pocket.lots = lots.iter().map(lot_of).collect());
        }
    }
}

fn lot_of(amount: &LotAmount) -> Lot {
    Lot { lot: amount.lot.clone(), expires: amount.expires, quantity: amount.quantity }
}

fn change(cabinet: &mut Cabinet, pocket: &PocketId, at: Timestamp, change: impl FnOnce(&mut Pocket)) {
    if let Some(pocket) = cabinet.pockets.get_mut(pocket) {
        change(pocket);
        pocket.updated = at;
    }
}

fn add(cabinet: &mut Cabinet, pocket: &PocketId, lots: &[LotAmount], at: Timestamp) {
    change(cabinet, pocket, at, |pocket| {
        for amount in lots {
            match pocket.lots.iter_mut().find(|lot| lot.lot == amount.lot && lot.expires == amount.expires) {
                Some(lot) => lot.quantity += amount.quantity,
                None => pocket.lots.push(lot_of(amount)),
            }
        }
        pocket.lots.sort_by(|a, b| a.expires.cmp(&b.expires).then_with(|| a.lot.cmp(&b.lot)));
    });
}

fn remove(cabinet: &mut Cabinet, pocket: &PocketId, lots: &[LotAmount], at: Timestamp) {
    change(cabinet, pocket, at, |pocket| {
        for amount in lots {
            if let Some(lot) = pocket.lots.iter_mut().find(|lot| lot.lot == amount.lot && lot.expires == amount.expires) {
                lot.quantity -= amount.quantity;
            }
        }
        pocket.lots.retain(|lot| lot.quantity > Decimal::ZERO);
    });
}

fn account(cabinet: &mut Cabinet, withdrawal: u32, change: impl FnOnce(&mut Withdrawal)) {
    if let Some(withdrawal) = cabinet.withdrawals.get_mut(&withdrawal) {
        change(withdrawal);
    }
}

/// Withdrawals that are wholly accounted for are forgotten when the next one begins, but for the highest number.
fn forget_accounted(cabinet: &mut Cabinet) {
    cabinet.withdrawals.retain(|_, withdrawal| withdrawal.open() > Decimal::ZERO);
}
