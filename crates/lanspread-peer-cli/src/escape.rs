//! Keeps a stranger's characters from doing anything to the terminal, log or text file that lines end up in.

use std::io::{self, Write};

use lanspread_proto::text::{escaped, is_deceptive};

/// Writes the deceptive characters of the JSON in `json` from `start` on as `\u` escapes, which mean the same.
///
/// They can only be in strings, where JSON allows escapes. JSON itself escapes no more than the control characters
/// of ASCII.
pub(crate) fn escape_json(json: &mut Vec<u8>, start: usize) {
    let written = json.get(start..).unwrap_or_default();
    // Nearly every line is plain.
    if written.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return;
    }
    let Ok(text) = std::str::from_utf8(written) else { return };
    if !text.contains(is_deceptive) {
        return;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_deceptive(letter) {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(letter);
        }
    }
    json.truncate(start);
    json.extend_from_slice(safe.as_bytes());
}

/// Writes each event of a log as one line, with deceptive characters escaped.
#[derive(Debug)]
pub(crate) struct SafeLines<W>(pub(crate) W);

impl<W: Write> Write for SafeLines<W> {
    /// Takes one whole event.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        self.0.write_all(escaped(line).as_bytes())?;
        self.0.write_all(b"\n")?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_means_the_same_and_holds_no_deceptive_character() {
        let text = "Ä\u{202e}gnp.exe\u{7f}\u{9b}31m\u{2028}\u{200f}\n\u{1b}\u{feff} ok \u{1f3f4}";
        let mut json = b"\"before\0\"".to_vec();
        let start = json.len();
        serde_json::to_writer(&mut json, text).unwrap();
        escape_json(&mut json, start);
        let written = std::str::from_utf8(&json[start..]).unwrap();
        assert!(!written.contains(is_deceptive), "{written:?}");
        assert_eq!(serde_json::from_str::<String>(written).unwrap(), text);
        assert_eq!(&json[..start], b"\"before\0\"");
    }

    #[test]
    fn an_event_of_a_log_is_one_line() {
        let mut log = SafeLines(Vec::new());
        log.write_all("WARN name=a\nWARN forged \u{1b}[2J\u{202e}\n".as_bytes()).unwrap();
        log.write_all(b"no end").unwrap();
        let text = String::from_utf8(log.0).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines, ["WARN name=a\\nWARN forged \\u{1b}[2J\\u{202e}", "no end"]);
    }
}
