//! How the process ends: exit codes, and the one place where an error becomes a message.
//!
//! | Code | Meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed: the message on stderr says what, to what, and what to do next |
//! | 2 | the command line can't be understood |
//! | 130 | interrupted by Ctrl-C or SIGTERM |
//! | 141 (by signal) | the reader of a pipe went away |

use crate::{args::Enc, ctx::Ctx, output::complain};
use std::process::ExitCode;

/// The command was interrupted by the user.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// The command has printed all there was to say; only the exit code is left.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub struct AlreadyReported;

/// What was asked for makes no sense: whoever asked has to ask otherwise.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// The exit code.
    pub code: u8,
    /// What went wrong, if it was not told yet.
    pub message: Option<String>,
    /// Whether what was asked for makes no sense.
    pub usage: bool,
}

impl Outcome {
    /// A failure with that message.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: Some(message.into()), usage: false }
    }
}

/// How a command ended, of which this is the result.
pub fn outcome(ctx: &Ctx, result: anyhow::Result<()>) -> Outcome {
    let silent = |code| Outcome { code, message: None, usage: false };
    let Err(error) = result.and_then(|()| ctx.out.finish()) else { return silent(0) };
    if error.is::<AlreadyReported>() {
        return silent(1);
    }
    let timed_out = ctx.timed_out();
    if timed_out.is_none() && (error.is::<Interrupted>() || ctx.cancel.requested()) {
        return silent(130);
    }
    let usage = error.is::<Usage>();
    Outcome { code: 1, message: Some(timed_out.unwrap_or_else(|| message(&error))), usage }
}

/// Prints an error, if any, and gives the exit code.
pub fn report(ctx: &Ctx, outcome: &Outcome) -> ExitCode {
    if let Some(message) = &outcome.message {
        match ctx.global.enc {
            Enc::Text => complain(&format!("{} {}\n", ctx.out.error_label(), ctx.out.escape_stderr(message))),
            Enc::Json => {
                complain(&format!("{}\n", serde_json::json!({"Message": message, "Code": 0, "Type": "error"})));
            }
        }
    }
    ExitCode::from(outcome.code)
}

/// An error and what caused it. Many errors quote their cause already: it is not repeated.
fn message(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open d: {source}")]
    struct Quotes {
        source: std::io::Error,
    }

    #[test]
    fn no_cause_is_printed_twice() {
        let quotes = Quotes { source: std::io::Error::other("denied") };
        let error = Err::<(), _>(quotes).context("adding").expect_err("an error");
        assert_eq!(message(&error), "adding: cannot open d: denied");
    }
}
