//! Which version of `unrar` a program is: the first line that it prints without a command.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::process::Process;
use crate::error::UnpackError;

/// How long a program may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of its output is looked at. The banner is the first line.
const BANNER_MAX_BYTES: usize = 4 * 1024;

/// A version of `unrar`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnrarVersion {
    /// The number before the point.
    pub major: u32,
    /// The two digits behind it.
    pub minor: u32,
}

impl UnrarVersion {
    /// The oldest version that archives of strangers may be given to: before it, recovery volumes (`.rev`) beside an
    /// archive can run code in the program (CVE-2023-40477).
    pub const OLDEST_SAFE: Self = Self { major: 6, minor: 23 };
}

impl fmt::Display for UnrarVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.major, self.minor)
    }
}

/// Asks a program which version of `unrar` it is; `None` where it does not say so.
///
/// # Errors
/// [`UnpackError::Io`], when the program cannot be started; [`UnpackError::Cancelled`], when it takes longer than
/// five seconds.
pub(super) fn ask(program: &Path) -> Result<Option<UnrarVersion>, UnpackError> {
    let begun = Instant::now();
    let in_time = || match begun.elapsed() < PATIENCE {
        true => Ok(()),
        false => Err(UnpackError::Cancelled),
    };
    let mut process =
        Process::start(program, std::iter::empty()).map_err(UnpackError::io("run", program))?;
    let mut output = Vec::new();
    while output.len() < BANNER_MAX_BYTES {
        let Some(block) = process.next_block(in_time)? else { break };
        output.extend(block);
    }
    output.truncate(BANNER_MAX_BYTES);
    Ok(String::from_utf8_lossy(&output).lines().find_map(parse))
}

/// Reads a line such as `UNRAR 6.24 freeware      Copyright (c) 1993-2023 Alexander Roshal`.
fn parse(line: &str) -> Option<UnrarVersion> {
    let mut words = line.split_whitespace();
    let is_rar = words.next().is_some_and(|name| matches!(name, "UNRAR" | "RAR"));
    let (major, minor) = words.next().filter(|_| is_rar)?.split_once('.')?;
    Some(UnrarVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_of_the_programs_are_read() {
        let version = |major, minor| Some(UnrarVersion { major, minor });
        for (line, expected) in [
            ("UNRAR 6.24 freeware      Copyright (c) 1993-2023 Alexander Roshal", version(6, 24)),
            ("UNRAR 7.01 freeware      Copyright (c) 1993-2024 Alexander Roshal", version(7, 1)),
            ("RAR 5.50   Copyright (c) 1993-2017 Alexander Roshal   11 Aug 2017", version(5, 50)),
            ("UNRAR 6.23 beta 1 freeware", version(6, 23)),
            ("unrar 0.0.1  Copyright (C) 2004  Ben Asselstine", None),
            ("UNRAR", None),
            ("", None),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
        assert!(version(7, 1) > version(6, 23) && version(6, 9) < version(6, 23));
        assert_eq!(UnrarVersion { major: 7, minor: 1 }.to_string(), "7.01");
    }
}
