//! A printer of rows above the line that is being typed.
//!
//! It keeps the input intact while rows arrive.

use std::io;

use rustyline::ExternalPrinter;

use crate::frontends::output::{Sink, Stdout};

/// Moves the cursor up a row and down again: printing it redraws the prompt and nothing else.
const NOTHING_NEW: &str = "\x1b[A\n";

/// Prints rows above the input; once the editor has ended, below everything.
pub(crate) struct AboveInput<P> {
    printer: Option<P>,
}

impl<P> AboveInput<P> {
    pub(crate) fn new(printer: P) -> Self {
        Self { printer: Some(printer) }
    }
}

impl<P: ExternalPrinter + Send + 'static> Sink for AboveInput<P> {
    fn write(&mut self, rows: &str) -> io::Result<()> {
        if let Some(printer) = &mut self.printer {
            if printer.print(rows.to_owned()).is_ok() {
                return Ok(());
            }
            self.printer = None;
        }
        Stdout.write(rows)
    }

    fn repaint(&mut self) -> io::Result<()> {
        if self.printer.is_some() { self.write(NOTHING_NEW) } else { Ok(()) }
    }

    /// The printer holds one piece while the editor draws another. Once it accepts a second one, the first is drawn.
    fn wait_drawn(&mut self) -> io::Result<()> {
        self.repaint()?;
        self.repaint()
    }
}
