//! What was acknowledged stays: killing the program, and cutting its power, at random points.
//!
//! A driver runs commands that change a repository and notes what each of them acknowledged. A command is cut
//! short somewhere, the repository is opened again, and what it holds is judged against the notes:
//!
//! - a pin that was acknowledged is there, and so is every byte below it;
//! - a pin whose removal was acknowledged is not there;
//! - of the command that was cut short, either everything is seen or nothing;
//! - no pin is of anything incomplete, and no block holds wrong bytes.
//!
//! [`model`] holds the notes, [`work`] chooses commands, [`check`] looks, [`crash`] kills, [`power`] cuts the
//! power, [`faults`] fails single writes. All choices come from a seed that is printed.

pub mod check;
pub mod crash;
pub mod faults;
pub mod model;
pub mod power;
pub mod work;
