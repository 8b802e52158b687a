//! Locks that outlive a panic of another test.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
