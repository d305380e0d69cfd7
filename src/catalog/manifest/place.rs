//! Finds where in a JSON text a value stands, for faults in its meaning.
//!
//! The text has been read once already, so this walks it without checking it: whatever is unexpected ends the walk at
//! the innermost value that was found.

/// One step from a value to one of its parts.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// To the value of a key.
    Key(&'a str),
    /// To an element of a list, counting from 0.
    Element(usize),
}

/// Returns line and column, both counting from 1, the column in characters, of the value that `path` leads to.
pub(super) fn place(text: &str, path: &[Step<'_>]) -> (usize, usize) {
    let mut walk = Walk {
        bytes: text.as_bytes(),
        at: 0,
    };
    walk.blanks();
    let mut found = walk.at;
    for step in path {
        let inside = match *step {
            Step::Key(key) => walk.enter_key(key),
            Step::Element(number) => walk.enter_element(number),
        };
        if inside.is_none() {
            break;
        }
        found = walk.at;
    }
    let before = text.get(..found).unwrap_or(text);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    (line, column)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// Moves from the start of an object to the start of a key's value.
    fn enter_key(&mut self, key: &str) -> Option<()> {
        self.skip_byte(b'{')?;
        loop {
            let start = self.at;
            self.value()?;
            let name = self.bytes.get(start + 1..self.at - 1)?;
            self.skip_byte(b':')?;
            if name == key.as_bytes() {
                return Some(());
            }
            self.value()?;
            self.skip_byte(b',')?;
        }
    }

    /// Moves from the start of a list to the start of an element.
    fn enter_element(&mut self, number: usize) -> Option<()> {
        self.skip_byte(b'[')?;
        for _ in 0..number {
            self.value()?;
            self.skip_byte(b',')?;
        }
        (self.bytes.get(self.at) != Some(&b']')).then_some(())
    }

    /// Moves past one whole value, to the byte right after it.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                _ => self.word(),
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Moves past a string.
    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return Some(());
            }
        }
    }

    /// Moves past a number, `true`, `false` or `null`.
    fn word(&mut self) {
        while self
            .bytes
            .get(self.at)
            .is_some_and(|byte| !b",]} \t\r\n".contains(byte))
        {
            self.at += 1;
        }
    }

    /// Moves past blanks, one given byte, and blanks.
    fn skip_byte(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        if self.bytes.get(self.at) != Some(&byte) {
            return None;
        }
        self.at += 1;
        self.blanks();
        Some(())
    }

    fn blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }
}
