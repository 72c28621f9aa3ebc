//! What strangers may send: DAGs and CARs made to exhaust memory, time or the stack, to crash a parser, or to
//! write where nobody asked. The real program meets them here, with its memory and its time measured.

mod car;
mod deep;
mod hamt;
mod names;
mod sizes;
mod world;
