//! The command-line tool of stampede: see many identical calls become one, choose a threshold, and print what a
//! database needs.

mod calibrate;
mod demo;
mod failure;
mod file;
mod page;
mod report;
mod schema;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Many identical calls, one execution.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Calibrate(calibrate::Options),
    Demo(demo::Options),
    Schema(schema::Options),
    /// One of the processes of `demo --processes`, which starts them itself
    #[command(name = demo::WORKER, hide = true)]
    Worker,
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    terminal::choose_colour();
    let ending = match command {
        Command::Calibrate(options) => calibrate::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Schema(options) => schema::run(&options),
        Command::Worker => demo::work(),
    };
    match ending {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::complain(&failure);
            failure.exit_code()
        }
    }
}
