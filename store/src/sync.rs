//! The locks of everything that takes part in the rule of [`crate::session`].
//!
//! They are `parking_lot`'s. With the feature `shuttle` they are locks of the model checker, which then decides
//! at each of them who runs next: `tests/interleave.rs` searches thousands of schedules that way.

#[cfg(not(feature = "shuttle"))]
pub use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "shuttle")]
pub use model::{Mutex, RwLock};
#[cfg(feature = "shuttle")]
pub use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "shuttle")]
mod model {
    //! `shuttle`'s locks with the calls of `parking_lot`. A poisoned lock means that a schedule has failed
    //! already: the panic behind it is what shuttle reports.

    use super::{RwLockReadGuard, RwLockWriteGuard};
    use shuttle::sync::MutexGuard;
    use std::sync::PoisonError;

    /// A mutex.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// Guards a value.
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A lock for many readers or one writer.
    #[derive(Debug, Default)]
    pub struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        /// Guards a value.
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        /// Waits until nobody writes.
        pub fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits until nobody reads or writes.
        pub fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
