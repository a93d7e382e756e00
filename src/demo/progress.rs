//! One bar for each half of the demo, while somebody watches.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::traffic::{Call, Ending, Served};
use crate::terminal;

/// Counts the callers that have their ending, and what they have cost the API so far. Invisible in a pipe.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    line: ProgressBar,
    called: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
}

impl Bar {
    pub(crate) fn start(title: &'static str, requests: u64) -> Self {
        let line = if terminal::is_watched() { ProgressBar::new(requests) } else { ProgressBar::hidden() };
        let template = "{prefix:8} {bar:24.green/dim} {pos:>5}/{len}  {wide_msg}";
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        line.set_style(style.progress_chars("━━╌"));
        line.set_prefix(title);
        line.enable_steady_tick(Duration::from_millis(50));
        Self { line, called: Arc::default(), refused: Arc::default() }
    }

    /// Moves on by one call.
    pub(crate) fn show(&self, call: &Call) {
        let called = u64::from(call.served == Served::Called);
        let called = self.called.fetch_add(called, Ordering::Relaxed) + called;
        let refused = u64::from(matches!(call.ending, Ending::Refused));
        let refused = self.refused.fetch_add(refused, Ordering::Relaxed) + refused;
        self.line.set_message(format!("calls {called}, refused {refused}"));
        self.line.inc(1);
    }

    /// Leaves the bar on the screen as it is, and the cursor on the next line.
    pub(crate) fn finish(&self) {
        self.line.finish();
        if terminal::is_watched() {
            // indicatif fills the line and stays at its end.
            let _ = writeln!(io::stderr());
        }
    }
}
