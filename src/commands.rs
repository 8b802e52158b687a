//! The commands that users run. Each runs to completion, with the permissions of its user.
//!
//! Decisions are made by the same code as in the operator.

mod check;
mod connection;
mod error;
mod exit;
mod input;
mod operator_settings;
mod plan;
mod rights;
mod setting;
mod snapshot;
mod sweep;
mod table;
mod terminal;
mod uninstall;

pub use check::check;
pub use error::Error;
pub use error::InputError;
pub use exit::Exit;
pub use plan::plan;
pub use rights::rights;
pub use sweep::sweep;
pub use terminal::print;
pub use uninstall::uninstall;
