//! The moments at which a crash is tried.

/// A moment at which the disk is about to change. The crash tests reach every one of them.
///
/// A crate names its points with [`points!`](crate::points). A point has its name only under the feature `failpoints`: a
/// binary without it holds neither names nor hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    #[cfg(any(test, feature = "failpoints"))]
    name: &'static str,
}

impl Point {
    /// A point that reports and `LANSPREAD_CRASH_CASE` call `name`.
    #[cfg(any(test, feature = "failpoints"))]
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name }
    }

    /// A point of which nothing is kept.
    #[cfg(not(any(test, feature = "failpoints")))]
    #[must_use]
    pub const fn new(_name: &'static str) -> Self {
        Self {}
    }

    /// Returns the name by which reports and `LANSPREAD_CRASH_CASE` call it.
    #[cfg(any(test, feature = "failpoints"))]
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }
}

/// Names the points of a crate: a constant for each, and `ALL` with every one.
#[macro_export]
macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        $($(#[$doc])* pub const $point: $crate::Point = $crate::Point::new($name);)*

        /// Every point of this crate.
        pub const ALL: &[$crate::Point] = &[$($point),*];
    };
}
