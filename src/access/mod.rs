//! Who is asking, what they may, and the record of what they saw.
//!
//! Flow: credential → `prove` (argon2id, code, lock-out by the user's own stream) → session → [`Who`] with rights → the handler asks
//! [`Gate::allow`] → what is shown is stored by [`Gate::shown`] before it goes out.
//! **Invariant**: passwords, PINs and tokens are kept as hashes only; a token's secret is shown once.
//! **Invariant**: sessions live in memory: after a restart everybody signs in again, and nothing on the disk can be replayed.
//! Start reading at [`gate`].

mod audit;
mod credentials;
pub mod gate;
mod pending;
mod provider;
mod sessions;
mod signing;
mod throttle;
mod users;
mod witnesses;

pub use credentials::{Secret, WeakSecret};
pub use gate::{Allowed, Duty, Gate, House, Refused, Station, Who};
pub use provider::{Begun, Provider, ProviderError, ProviderSettings, Vouched};
pub use signing::{Act, Denied, Proof, SignIn, SignedIn};
pub use users::{FirstRunError, make_first_run};

#[cfg(test)]
mod tests;
