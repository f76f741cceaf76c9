//! Triplets of passages: axis → hard negative → judge → positives → judge → assemble.
//!
//! Holds what is asked ([`call`], [`ask`], [`prompt`]), who answers ([`backend`]), what is kept
//! ([`state`]) and may be spent ([`limit`]), what becomes of one document ([`flow`], [`excerpt`]), which
//! triplets are taken ([`assemble`], [`shortcut`]), and a whole run ([`session`]).

pub mod ask;
pub mod assemble;
pub mod backend;
pub mod calibrate;
pub mod call;
pub mod diff;
pub mod estimate;
pub mod excerpt;
pub mod flow;
pub mod limit;
pub mod margin;
pub mod prompt;
pub mod session;
pub mod shortcut;
pub mod state;
