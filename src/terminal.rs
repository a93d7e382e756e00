//! Where the output goes: colour or not, bars or not, and a reader that may leave early.

use std::env;
use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};

use tokio::sync::oneshot;

use crate::failure::Failure;

/// Decides once, for everything that is printed later, whether colours are used.
///
/// `NO_COLOR` with any text in it means no (<https://no-color.org>), and so do a pipe and a terminal without colours.
pub(crate) fn choose_colour() {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env::var_os("TERM").is_some_and(|value| value == "dumb");
    console::set_colors_enabled(!refused && io::stdout().is_terminal());
    console::set_colors_enabled_stderr(!refused && io::stderr().is_terminal());
}

/// Whether what is printed may carry colours.
pub(crate) fn has_colour() -> bool {
    console::colors_enabled()
}

/// Whether a person watches: bars between lines that go into a pipe or a file would only confuse.
pub(crate) fn is_watched() -> bool {
    io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// Whether somebody can press Enter.
pub(crate) fn can_answer() -> bool {
    io::stdin().is_terminal()
}

/// Prints to standard output. A reader that has left (`| head`) has what it wanted: that is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says one sentence on standard error; if even that is closed, the exit code has to speak.
pub(crate) fn complain(failure: &Failure) {
    let label = console::style("error:").for_stderr().red().bold();
    let _ = match failure {
        Failure::Interrupted => writeln!(io::stderr(), "\n{failure}"),
        _ => writeln!(io::stderr(), "{label} {failure}"),
    };
}

/// Shows `question` and waits for Enter, or for the end of the input.
pub(crate) async fn wait_for_enter(question: &str) {
    let _ = write!(io::stderr(), "{question}");
    let (pressed, enter) = oneshot::channel();
    // A plain thread: a runtime would wait for its own blocking read before it ends, and Ctrl-C must not wait for Enter.
    std::thread::spawn(move || {
        let _ = io::stdin().read_line(&mut String::new());
        let _ = pressed.send(());
    });
    let _ = enter.await;
}

/// Runs a command to its end, or until somebody has seen enough.
pub(crate) fn until_ctrl_c(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    runtime()?.block_on(async {
        tokio::select! {
            biased; // Nothing is shown before Ctrl-C is heard.
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
            ending = command => ending,
        }
    })
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Runtime::new().map_err(|error| Failure::Failed(format!("the async runtime cannot start: {error}")))
}
