//! With a ServiceAccount, a ConfigMapSync does only what that account may do at that time: its
//! permissions are checked before the source is read and before each copy is written.

mod attacks;
mod commands;
mod cost;
mod failures;
mod permissions;
mod revocation;
mod rights;
pub mod support;
