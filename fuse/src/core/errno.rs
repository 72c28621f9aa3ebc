//! The one place where errors become errnos.
//!
//! `ENOENT` is said only of what does not exist. What exists and can't be had is `ETIMEDOUT` when nobody delivered it in
//! time, `EACCES` when it may not be had, and `EIO` otherwise. The message of an error goes to the log: an errno has no
//! room for it.

use cairn_store::{
    StoreError,
    fetch::FetchError,
    mfs::MfsError,
    names::NameError,
    resolve::ResolveError,
    unixfs::{BuildError, ReadError},
};
use std::fmt;

/// An error number, as `errno(3)` has them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident),* $(,)?) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`, see `errno(3)`.")]
                pub const $name: Self = Self(libc::$name);
            )*

            /// All that this file system gives, with their names.
            pub const ALL: &'static [(&'static str, Self)] = &[$((stringify!($name), Self::$name)),*];
        }
    };
}

errnos!(
    EACCES,
    EAGAIN,
    EBADF,
    EBUSY,
    EEXIST,
    EFBIG,
    EINTR,
    EINVAL,
    EIO,
    EISDIR,
    ELOOP,
    EMLINK,
    ENAMETOOLONG,
    ENFILE,
    ENODATA,
    ENOENT,
    ENOMEM,
    ENOSPC,
    ENOSYS,
    ENOTDIR,
    ENOTEMPTY,
    ENOTTY,
    ENXIO,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
    EROFS,
    ESTALE,
    ETIMEDOUT,
    EXDEV,
);

impl Errno {
    /// The number: positive.
    pub fn code(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::ALL.iter().find(|(_, errno)| errno == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Says to the log what the errno can't, and hands it on.
fn told(error: &dyn fmt::Display, errno: Errno) -> Errno {
    tracing::debug!(%error, %errno, "an operation failed");
    errno
}

impl From<&StoreError> for Errno {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::NoSpace { .. } | StoreError::Full { .. } => Self::ENOSPC,
            StoreError::Invalid(_) => Self::EINVAL,
            StoreError::DamagedLog { .. } | StoreError::Corrupt(_) | StoreError::Io { .. } | StoreError::Backend(_) => {
                tracing::warn!(%error, "the store failed below the mount");
                Self::EIO
            }
        }
    }
}

impl From<StoreError> for Errno {
    fn from(error: StoreError) -> Self {
        told(&error, (&error).into())
    }
}

impl From<&FetchError> for Errno {
    fn from(error: &FetchError) -> Self {
        match error {
            // It exists, or nobody would link to it; it is not here, and there is nobody to ask.
            FetchError::NotFound(_) => Self::EIO,
            FetchError::TimedOut(_) => Self::ETIMEDOUT,
            FetchError::Denied { .. } => Self::EACCES,
            FetchError::Store(error) => error.into(),
        }
    }
}

impl From<FetchError> for Errno {
    fn from(error: FetchError) -> Self {
        told(&error, (&error).into())
    }
}

impl From<&ReadError> for Errno {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Fetch(error) => error.into(),
            ReadError::IsDirectory(_) => Self::EISDIR,
            ReadError::IsSymlink(_) => Self::ELOOP,
            ReadError::NotDirectory(_) => Self::ENOTDIR,
            ReadError::Malformed { .. } | ReadError::NotUnixfs { .. } | ReadError::Unreasonable { .. } => Self::EIO,
        }
    }
}

impl From<ReadError> for Errno {
    fn from(error: ReadError) -> Self {
        told(&error, (&error).into())
    }
}

impl From<&NameError> for Errno {
    fn from(error: &NameError) -> Self {
        match error {
            NameError::NotFound(_) => Self::ENOENT,
            NameError::TimedOut(_) => Self::ETIMEDOUT,
            NameError::Offline(_) | NameError::Invalid { .. } => Self::EIO,
        }
    }
}

impl From<NameError> for Errno {
    fn from(error: NameError) -> Self {
        told(&error, (&error).into())
    }
}

impl From<ResolveError> for Errno {
    fn from(error: ResolveError) -> Self {
        let errno = match &error {
            ResolveError::NoLink { .. } | ResolveError::Select(_) => Self::ENOENT,
            ResolveError::InsideBlock { .. } => Self::EOPNOTSUPP,
            ResolveError::Fetch(error) => error.into(),
            ResolveError::Read(error) => error.into(),
            ResolveError::Dag(_) => Self::EIO,
            ResolveError::Name(error) => error.into(),
            ResolveError::TooManyNames(_) => Self::ELOOP,
        };
        told(&error, errno)
    }
}

impl From<&MfsError> for Errno {
    fn from(error: &MfsError) -> Self {
        match error {
            MfsError::NotFound(_) => Self::ENOENT,
            MfsError::Exists(_) => Self::EEXIST,
            MfsError::NotDir(_) => Self::ENOTDIR,
            MfsError::IsDir(_) => Self::EISDIR,
            MfsError::IsSymlink(_) => Self::ELOOP,
            MfsError::NotSymlink(_) | MfsError::Invalid(_) | MfsError::Loop(_) => Self::EINVAL,
            MfsError::NotEmpty(_) => Self::ENOTEMPTY,
            MfsError::TooLong(_) => Self::ENAMETOOLONG,
            MfsError::TooLarge => Self::EFBIG,
            MfsError::Root => Self::EBUSY,
            MfsError::Stale(_) => Self::ESTALE,
            MfsError::Interrupted => Self::EINTR,
            MfsError::Fetch(error) => error.into(),
            MfsError::Malformed(error) => error.as_ref().into(),
            MfsError::Store(error) => error.into(),
            // What strangers named would fit into no block with it.
            MfsError::Build(BuildError::NodeTooLarge(_)) => Self::EFBIG,
            MfsError::NotUnixfs(_) | MfsError::Build(_) | MfsError::Closed(_) => Self::EIO,
        }
    }
}

impl From<MfsError> for Errno {
    fn from(error: MfsError) -> Self {
        told(&error, (&error).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_store::Cid;

    #[test]
    fn what_exists_and_cannot_be_had_is_never_enoent() {
        let cid = Box::new(Cid::default());
        for (error, errno) in [
            (FetchError::NotFound(cid.clone()), Errno::EIO),
            (FetchError::TimedOut(cid.clone()), Errno::ETIMEDOUT),
            (FetchError::Denied { cid: cid.clone(), legal: true }, Errno::EACCES),
            (StoreError::Full { used: 2, max: 1 }.into(), Errno::ENOSPC),
            (StoreError::Corrupt("bits".into()).into(), Errno::EIO),
        ] {
            assert_eq!(Errno::from(error.clone()), errno, "{error}");
            assert_eq!(Errno::from(ReadError::from(error.clone())), errno, "{error}");
            assert_eq!(Errno::from(ResolveError::from(error.clone())), errno, "{error}");
        }
        assert_eq!(Errno::from(NameError::Offline("x".into())), Errno::EIO);
        assert_eq!(Errno::from(NameError::NotFound("x".into())), Errno::ENOENT);
        assert_eq!(Errno::from(ResolveError::NoLink { name: "x".into(), cid }), Errno::ENOENT);
    }

    #[test]
    fn errnos_have_names() {
        assert_eq!(Errno::ETIMEDOUT.to_string(), "ETIMEDOUT");
        assert_eq!(Errno::ETIMEDOUT.code(), libc::ETIMEDOUT);
    }
}
